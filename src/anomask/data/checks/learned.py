"""Which slices a run learned from: kept with it, so that an evaluation elsewhere can tell what it has seen before."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from anomask.data.folder.findings import WARNING, Finding
from anomask.data.folder.records import SliceRecord
from anomask.errors import RunError, SplitError
from anomask.files import write_text

COLUMNS = ("path", "sha256", "patient")
SHOWN = 3  # patients that a warning names


def write_learned(file: Path, records: Sequence[SliceRecord], hashes: Sequence[str]) -> None:
    """Write the training slices of a run as CSV: name, SHA-256 of the file, patient.

    Args:
        file: in the run's folder.
        records: the slices that gradients, or a memory of normals, come from.
        hashes: of their files, in the same order.
    """
    text = io.StringIO()
    rows = [(record.name, content, record.patient) for record, content in zip(records, hashes, strict=True)]
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    write_text(file, text.getvalue())


def seen_before(file: Path, records: Sequence[SliceRecord], hashes: Sequence[str]) -> list[Finding]:
    """Report test slices, and patients of them, that a run learned from: its figures on those say nothing.

    Args:
        file: of `write_learned`; a run of before it was kept has none.
        records: test slices.
        hashes: of their files, in the same order.

    Returns:
        an error for a slice that it learned from, a warning where patients have the same names

    Raises:
        RunError: a file that cannot be read.
    """
    if not file.is_file():
        message = f"this run did not keep which slices it learned from (no {file.name})."
        return [_warning(message, "Whether test slices are among them was not checked.")]
    own, patients = _read(file)
    found = []
    for record, content in zip(records, hashes, strict=True):
        if content in own:
            message = f"{record.name} is the same image as {own[content]}, which this run learned from."
            remedy = (
                "What it says about it is no test: remove it from the test slices, or use a run that has not seen it."
            )
            found.append(Finding("learned from", (record.name,), message, remedy, raises=SplitError))
    if shared := sorted({record.patient for record in records} & patients):
        listed = ", ".join(shared[:SHOWN]) + (", ..." if len(shared) > SHOWN else "")
        message = (
            f"{len(shared)} patients of the test slices have names of patients that this run learned from: {listed}."
        )
        found.append(_warning(message, "If they are the same persons, its figures are too good: leave them out."))
    return found


def _warning(message: str, remedy: str) -> Finding:
    return Finding("learned from", (), message, remedy, WARNING)


def _read(file: Path) -> tuple[dict[str, str], set[str]]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = [(row["path"], row["sha256"], row["patient"]) for row in csv.DictReader(stream)]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise RunError(f"{file} cannot be read ({error!r}). Copy the run folder again, or train it again.") from error
    if not rows:
        raise RunError(f"{file} lists no slices: it is damaged. Copy the run folder again, or train it again.")
    return {content: name for name, content, _ in rows}, {patient for *_, patient in rows if patient}
