"""The figures of a paper table from result records: mean, spread over seeds, intervals, best. Knows no torch."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from anomask.errors import RunError
from anomask.report.columns import Column, Record

NEEDED = {"method", "image", "pixel", "cost", "bootstrap", "commit"}


class Row(NamedTuple):
    """A method with its records, one a seed."""

    key: str
    records: list[Record]


class Cell(NamedTuple):
    """A figure: mean and standard deviation over seeds, mean ends of the seeds' 95 % intervals; None: not defined."""

    mean: float | None
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    bold: bool = False


def read_rows(folder: Path, keys: Sequence[str]) -> list[Row]:
    """Read the records of a data set, ``<folder>/<key>/seed<number>/record.json``.

    Raises:
        RunError: records are missing, damaged or older than the tables; the message has the commands that make them.
    """
    rows = [Row(key, [_read(file) for file in sorted(folder.glob(f"{key}/seed*/record.json"))]) for key in keys]
    missing = [row.key for row in rows if not row.records]
    if missing:
        commands = "; ".join(f"make {folder}/{key}/seed0/record.json" for key in missing)
        raise RunError(f"no records of {', '.join(missing)} in {folder}. Make them first: {commands}")
    return rows


def _read(file: Path) -> Record:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{file} is no JSON ({error}). Make it again: make -B {file}") from error
    lacking = sorted(NEEDED - record.keys()) if isinstance(record, dict) else sorted(NEEDED)
    if lacking:
        raise RunError(f"{file} lacks {', '.join(lacking)}: an older version wrote it. Make it again: make -B {file}")
    return record


def cells(rows: Sequence[Row], columns: Sequence[Column]) -> list[list[Cell]]:
    """Return the figures, one list a row."""
    found = [[_cell(row.records, column) for column in columns] for row in rows]
    for index, column in enumerate(columns):
        if column.best:
            _embolden(found, index)
    return found


def _cell(records: Sequence[Record], column: Column) -> Cell:
    values = [column.read(record) for record in records]
    if any(value is None for value in values):
        return Cell(None)
    ends = [column.interval(record) if column.interval else {} for record in records]
    low, high = ([end.get(side) for end in ends] for side in ("low", "high"))
    known = None not in low + high
    return Cell(
        fmean(values),
        stdev(values) if len(values) > 1 else None,
        fmean(low) if known else None,
        fmean(high) if known else None,
    )


def _embolden(found: list[list[Cell]], index: int) -> None:
    best = max((row[index].mean for row in found if row[index].mean is not None), default=None)
    for row in found:
        if best is not None and row[index].mean == best:
            row[index] = row[index]._replace(bold=True)
