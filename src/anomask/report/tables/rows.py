"""The figures of a paper table from result records: mean, spread over seeds, intervals, best. Knows no torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from anomask.errors import ConfigError, RunError, did_you_mean
from anomask.metrics.bootstrap import Interval
from anomask.metrics.significance import PValue, holm
from anomask.reading import read_json
from anomask.report.record.shapes import RECORD
from anomask.report.tables.columns import Column, Record, image, pixel
from anomask.report.tables.paired import auroc_difference, pixel_difference, pixel_interval, slice_interval


class Row(NamedTuple):
    """A method with its records."""

    key: str
    records: dict[int, Record]  # by seed
    folder: Path | None = None  # holds seed<number>/record.json
    title: str | None = None  # None: the records' own


class Cell(NamedTuple):
    """A figure: mean and standard deviation over seeds, 95 % interval of that mean; None: not defined."""

    mean: float | None
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    bold: bool = False
    p: PValue | None = None  # of a paired test, corrected for all of the table


class Resampling(NamedTuple):
    """How intervals and paired tests resample, and against which row."""

    against: Row
    n: int
    seed: int


def chosen_rows(known: Sequence[str], wanted: Sequence[str] | None, number: int) -> list[str]:
    """Return the keys of those rows that are asked for, in the table's order; None asks for all.

    Raises:
        ConfigError: a row that the table does not have.
    """
    for key in wanted or ():
        if key not in known:
            raise ConfigError(f"rows names {key}{did_you_mean(key, known)}, table {number} has: {', '.join(known)}.")
    return [key for key in known if not wanted or key in wanted]


def read_rows(folder: Path, titles: Mapping[str, str | None], remedy: str) -> list[Row]:
    """Read the records of a data set, ``<folder>/<key>/seed<number>/record.json``.

    Args:
        folder: of the data set's results.
        titles: what the rows are called, by key; None is the record's own.
        remedy: the command that makes what is missing.

    Raises:
        RunError: records are missing, damaged or older than the tables; the message has the command that makes them.
    """
    rows = [Row(key, _read_seeds(folder / key, remedy), folder / key, title) for key, title in titles.items()]
    missing = [row.key for row in rows if not row.records]
    if missing:
        raise RunError(f"no records of {', '.join(missing)} in {folder}. Make them first: {remedy}")
    return rows


def _read_seeds(folder: Path, remedy: str) -> dict[int, Record]:
    files = {int(file.parent.name.removeprefix("seed")): file for file in folder.glob("seed*/record.json")}
    return {seed: _read(files[seed], remedy) for seed in sorted(files)}


def _read(file: Path, remedy: str) -> Record:
    again = f"Remove {file.parent} and make it again: {remedy}"
    record = read_json(file, RECORD, again)
    if not any(row["group"] == "all" for row in record["image"]):
        raise RunError(f"{file} is damaged: it has no figures of all diseases together. {again}")
    return record


def cells(rows: Sequence[Row], columns: Sequence[Column], resampling: Resampling | None = None) -> list[list[Cell]]:
    """Return the figures, one list a row.

    Args:
        rows: with their records.
        columns: what is shown of them.
        resampling: for intervals and paired tests; None leaves these out.
    """
    found = [[_cell(row, column, resampling) for column in columns] for row in rows]
    tested = holm([cell.p for line in found for cell in line])
    found = [[cell._replace(p=tested.pop(0)) for cell in line] for line in found]
    for index, column in enumerate(columns):
        if column.best:
            _embolden(found, index)
    return found


def _cell(row: Row, column: Column, resampling: Resampling | None) -> Cell:
    if column.paired:
        return Cell(None) if resampling is None else _difference(row, *column.paired, resampling)
    records = list(row.records.values())
    values = [column.read(record) for record in records]
    if any(value is None for value in values):
        return Cell(None)
    interval = _interval(row, *column.interval, resampling) if column.interval and resampling else None
    return Cell(
        fmean(values),
        stdev(values) if len(values) > 1 else None,
        interval and interval.low,
        interval and interval.high,
    )


def _interval(row: Row, figure: str, group: str, region: str, resampling: Resampling) -> Interval | None:
    folders, again = [row.folder / f"seed{seed}" for seed in row.records], (resampling.n, resampling.seed)
    if region:
        return pixel_interval(folders, figure, region, *again)
    thresholds = [record["threshold"]["threshold"] for record in row.records.values()]
    return slice_interval(folders, thresholds, figure, group, *again)


def _difference(row: Row, figure: str, region: str, resampling: Resampling) -> Cell:
    seeds = [seed for seed in row.records if seed in resampling.against.records]
    if row.key == resampling.against.key or not seeds:
        return Cell(None)
    sides = [[one.folder / f"seed{seed}" for seed in seeds] for one in (row, resampling.against)]
    again = (resampling.n, resampling.seed)
    found = pixel_difference(*sides, region, figure, *again) if region else auroc_difference(*sides, *again)
    if found is None:
        return Cell(None)
    read = pixel(figure, region) if region else image(figure)  # the records' own: resampled histograms are coarser
    means = [fmean(read(one.records[seed]) for seed in seeds) for one in (row, resampling.against)]
    return Cell(means[0] - means[1], None, found.low, found.high, p=found.p)


def _embolden(found: list[list[Cell]], index: int) -> None:
    best = max((row[index].mean for row in found if row[index].mean is not None), default=None)
    for row in found:
        if best is not None and row[index].mean == best:
            row[index] = row[index]._replace(bold=True)
