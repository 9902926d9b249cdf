"""Tables that say of each path of the input whose it is, where it goes and what it shows."""

import csv
import logging
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from anomask.data.volumes.account import Account
from anomask.data.volumes.faults import short
from anomask.errors import DataError
from anomask.preparation.companions import Companions
from anomask.preparation.groups import SKIPPED, SPLITS, Group, check_disease

log = logging.getLogger(__name__)

COLUMNS = ("path", "split", "disease", "patient")
NEAR = 0.8  # a column so like one that is read is a misspelt one
NAMED = 10  # rows that a fault names

Row = dict[str, str]


class Table:
    """The rows of a group's table, and which of them were asked for; a group without table has one row for all.

    Args:
        rows: by path, or None without a table.
        name: of the file.
    """

    def __init__(self, rows: dict[str, Row] | None, name: str) -> None:
        self._rows, self._name = rows, name
        self._matched: set[str] = set()

    @classmethod
    def of(cls, group: Group, companions: Companions, account: Account) -> "Table":
        """Read the table of a group, see `read_table`."""
        if not group.table:
            return cls(None, "")
        file = companions.find(group.table, {})
        account.use([file], "table")
        return cls(read_table(group, file), file.name)

    def row_of(self, path: str) -> Row | None:
        """Return what the table says about a path, which it may name by file, folder, or file name alone."""
        if self._rows is None:
            return {}
        parents = [parent.as_posix() for parent in PurePosixPath(path).parents]
        key = next((key for key in (path, *parents, PurePosixPath(path).name) if key in self._rows), None)
        if key is None:
            return None
        self._matched.add(key)
        return self._rows[key]

    def report_unmatched(self, files: Mapping[str, Path], account: Account) -> None:
        """Report rows that match nothing in the input in one fault; of a class that is left out they are not missed."""
        rows = self._rows or {}
        unmatched = [
            path
            for path, row in rows.items()
            if path not in self._matched and path not in files and row.get("disease") != SKIPPED
        ]
        if not unmatched:
            return
        if any("\\" in path for path in unmatched):
            hint = "Use forward slashes."
        elif any(name.startswith(f"{path}.") for path in unmatched for name in files):
            hint = "Name files with their suffix."
        else:
            hint = "Correct or remove these rows, or add the files."
        more = f" and {len(unmatched) - NAMED} more" if len(unmatched) > NAMED else ""
        account.fault(
            DataError(
                f"the table {self._name} lists {', '.join(unmatched[:NAMED])}{more}, which {_is(len(unmatched))} not "
                f"in the input ({len(unmatched)} of {len(rows)} rows). {hint}"
            )
        )


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def read_table(group: Group, file: Path) -> dict[str, Row]:
    """Read a group's table: for each path inside the input what it says (any of split, disease, patient).

    Raises:
        DataError: not readable, without a column path, with a value that does not exist, or with two rows that
            contradict each other.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            lines = list(csv.reader(stream, delimiter=group.table_separator))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"the table {file} cannot be read ({short(error)}). Wanted: UTF-8 text with a line for each path."
        ) from error
    columns = group.table_columns or _columns_of(lines.pop(0) if lines else [], file)
    if "path" not in columns:
        hint = " Is it separated by ; or tabs? A comma is wanted." if len(columns) == 1 else ""
        raise DataError(f"{file} has the columns {columns}; a column 'path' is wanted.{hint}")
    table: dict[str, Row] = {}
    for line, cells in enumerate(lines, start=1 if group.table_columns else 2):
        # A class that is cut off would make a diseased slice normal. A table without header may have more columns.
        more = bool(group.table_columns) or not any(cells[len(columns) :])
        if any(cells) and (len(cells) < len(columns) or not more):
            raise DataError(
                f"{file} line {line} has {len(cells)} cells, the table {len(columns)} columns. Put a cell with a comma "
                "in quotes, and leave no cell out: what is not known is an empty cell."
            )
        row = {column: cell.strip() for column, cell in zip(columns, cells, strict=False)}
        path = row.get("path", "").removeprefix("./").rstrip("/")
        if path:
            _check_row(row, group, f"{file} line {line}")
            if table.setdefault(path, row) != row:
                raise DataError(f"{file} line {line} names {path} again and says something else of it. Remove one row.")
    return table


def _columns_of(header: list[str], file: Path) -> list[str]:
    """Return the names of the columns, in small letters where they are read; say which ones are not."""
    columns = [name.strip() for name in header]
    columns = [name.casefold() if name.casefold() in COLUMNS else name for name in columns]
    doubled = {name for name in columns if columns.count(name) > 1} & set(COLUMNS)
    if doubled:
        raise DataError(f"{file} has the column {sorted(doubled)[0]} twice. Remove one.")
    other = [name for name in columns if name not in COLUMNS]
    for name in other:
        near = get_close_matches(name.casefold(), set(COLUMNS) - set(columns), n=1, cutoff=NEAR)
        if near:  # of a misspelt disease all scans would be normal
            raise DataError(f"{file} has the column {name!r}: did you mean {near[0]}? Name it so, or otherwise.")
    if other and "path" in columns:
        log.warning(
            "columns of %s that are not read: %s (read: %s)", file.name, ", ".join(map(repr, other)), ", ".join(COLUMNS)
        )
    return columns


def _check_row(row: Row, group: Group, where: str) -> None:
    """Translate a row's class and check what it says."""
    if group.diseases is not None:
        value = row.get("disease", "")
        if value not in group.diseases:
            raise DataError(f"{where} has the class {value!r}; the recipe knows {', '.join(group.diseases)}.")
        row["disease"] = group.diseases[value]
    check_disease(row.get("disease", ""))
    if (row.get("split") or SPLITS[0]) not in SPLITS:
        raise DataError(f"{where} has split {row['split']!r}; use one of {', '.join(SPLITS)}.")
