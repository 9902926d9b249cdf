"""Tables as CSV that spreadsheets show as they are: no cell is taken for a formula."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

# Spreadsheets run a cell that begins with one of these. Quotes in front of it are ours, one for each writing.
FORMULA = re.compile(r"'*[=+\-@\t\r]")


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table as CSV; floats with all their digits, None as an empty cell."""
    return "".join(_line([neutral(cell) for cell in row]) for row in (header, *rows))


def neutral(cell: Any) -> Any:
    """Put a quote before a text that a spreadsheet would run; `restored` takes it away again."""
    if isinstance(cell, float):
        return repr(cell)
    return f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) and not _is_number(cell) else cell


def restored(cell: str) -> str:
    """Undo `neutral`."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _line(cells: Sequence[Any]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\r\n").writerow(cells)  # so that both signs are quoted inside a cell
    return stream.getvalue().removesuffix("\r\n") + "\n"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", text) is not None
