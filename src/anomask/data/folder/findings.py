"""What is wrong with a data folder: one record a fault, to be listed with others or raised at once."""

from collections.abc import Iterable
from dataclasses import dataclass

from anomask.errors import AnomaskError, DataError

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Finding:
    """One fault of a data folder."""

    kind: str  # a few words that faults of the same sort share
    files: tuple[str, ...]  # names inside the data folder: a file, a pair of files, or a folder
    message: str  # what was got, what is wanted, where
    remedy: str  # what to do
    severity: str = ERROR  # 'error' where a result would be wrong, 'warning' where it might be
    raises: type[AnomaskError] = DataError

    def error(self) -> AnomaskError:
        """Return this finding as an exception that keeps it as `finding`."""
        error = self.raises(f"{self.message} {self.remedy}")
        error.finding = self
        return error


def finding_of(error: AnomaskError) -> Finding:
    """Return the finding behind an error; an error of another origin goes on."""
    if not isinstance(error.finding, Finding):
        raise error
    return error.finding


def raise_first(findings: Iterable[Finding]) -> None:
    """Raise the first finding that is an error."""
    for finding in findings:
        if finding.severity == ERROR:
            raise finding.error()
