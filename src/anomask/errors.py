"""The errors a user can cause: each message says what was got, what is wanted, where, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


def printable(text: str) -> str:
    """Escape what no terminal and no file takes: bytes of file names that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


class AnomaskError(ValueError):
    """Root of every error that bad input causes; the entry points print it in one line and exit with 1."""

    finding: object = None  # the `anomask.data.folder.findings.Finding` behind it, where there is one

    def __str__(self) -> str:
        """Return the message; a file name in it that is not UTF-8 is escaped, so that it can be shown and written."""
        return printable(super().__str__())


class DataError(AnomaskError):
    """A data folder, manifest row or image file that cannot be used as it is."""


class NotAxialError(DataError):
    """A volume that is in order but no axial CT, such as a localiser: skipped where others are wanted."""


class SplitError(AnomaskError):
    """A split that would let one patient's slices train and judge the same model."""


class ConfigError(AnomaskError):
    """Settings that contradict each other or the data."""


class RunError(AnomaskError):
    """A run folder or checkpoint that is missing, damaged or of another kind."""


class CodebookError(AnomaskError):
    """A codebook that stage 2 must not be trained on."""


class ExternalError(AnomaskError):
    """A comparison method of another library that cannot be run, or did not answer as it should."""


def find_user_error(error: BaseException) -> AnomaskError | None:
    """Return the user's error that a library wrapped in its own, or None if there is none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, AnomaskError):
        cause = cause.__cause__
    return cause


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ": did you mean x?" for the nearest of what is known, or nothing where none is near.

    Args:
        word: what was typed.
        known: names, or dotted keys, whose last part alone may have been typed.
    """
    known = list(known)
    near = [one for one in known if word in (one, one.rpartition(".")[2])][:3]
    near = near or get_close_matches(word, known, n=1)
    if not near:
        last = get_close_matches(word, [one.rpartition(".")[2] for one in known], n=1, cutoff=0.75)
        near = [one for one in known if last and one.rpartition(".")[2] == last[0]][:3]
    return f": did you mean {' or '.join(near)}?" if near else ""
