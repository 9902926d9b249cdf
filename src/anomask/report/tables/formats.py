"""A paper table as Markdown, LaTeX and CSV. Knows no torch."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from anomask.cells import csv_text
from anomask.metrics.significance import PValue
from anomask.report.tables.columns import Column
from anomask.report.tables.rows import Cell, Row
from anomask.report.text import FEW, inline, table

# Marks of bold type that no text has, until everything else is escaped.
BOLD_BEGINS, BOLD_ENDS = "\x02", "\x03"
BOLD = BOLD_BEGINS + "{}" + BOLD_ENDS
SIGNS = {sign: f"\\{sign}" for sign in "_%&#{}$"} | {BOLD_BEGINS: "", BOLD_ENDS: ""}
SIGNS |= {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "–": "--", "±": r"$\pm$"}


class Filled(NamedTuple):
    """A table with its figures."""

    title: str
    columns: Mapping[str, Column]
    rows: Sequence[Row]
    cells: Sequence[Sequence[Cell]]  # one list a row
    about: str  # a note below the table


def without_empty(filled: Filled) -> Filled:
    """Leave out the columns that the data set has no figures for, such as those of lung masks."""
    kept = [index for index in range(len(filled.columns)) if any(row[index].mean is not None for row in filled.cells)]
    columns = list(filled.columns.items())
    cells = [[row[index] for index in kept] for row in filled.cells]
    return filled._replace(columns=dict(columns[index] for index in kept), cells=cells)


def markdown(filled: Filled) -> str:
    """Return the table as Markdown."""
    lines = table(_header(filled), _lines(filled, "**{}**", "±"))
    return f"# {inline(filled.title)}\n\n{lines}\n\n{inline(filled.about)}\n"


def latex(filled: Filled) -> str:
    """Return the table as LaTeX; needs the package booktabs."""
    head, *lines = (" & ".join(map(_escape, line)) + r" \\" for line in [_header(filled), *_lines(filled, BOLD, "±")])
    body = "\n".join(lines)
    about = " ".join(filled.about.split())  # a comment ends with its line
    places = "ll" + "r" * (len(filled.columns) + 1)
    return (
        f"% {about}\n\\begin{{table}}\n\\caption{{{_escape(filled.title)}}}\n\\begin{{tabular}}{{{places}}}\n"
        f"\\toprule\n{head}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


def as_csv(filled: Filled) -> str:
    """Return every figure with its spread, interval and p-value, unrounded."""
    parts = {"mean": 0, "spread": 1, "low": 2, "high": 3, "p": 5}  # places in a cell
    header = ["method", "family", "seeds", *(f"{name}_{part}" for name in filled.columns for part in parts)]
    rows = zip(filled.rows, filled.cells, strict=True)
    return csv_text(
        header, ([*_about(row), *(_plain(cell[p]) for cell in line for p in parts.values())] for row, line in rows)
    )


def _plain(value: float | PValue | None) -> float | None:
    return value.value if isinstance(value, PValue) else value


def footnote(rows: Sequence[Row], against: Row) -> str:
    """Say what the figures are: data, n, unit of the intervals, reference, commits, machine."""
    records = [record for row in rows for record in row.records.values()]
    first = next(row for row in records[0]["image"] if row["group"] == "all")
    commits = sorted({str(record["commit"]) for record in records})
    units = " or ".join(dict.fromkeys(record["bootstrap"]["unit"] for record in records))
    devices = sorted({f"{record['cost']['devices']}, {record['cost']['cpu_threads']} threads" for record in records})
    return (
        f"{records[0]['data']}: {first['n_abnormal']} abnormal and {first['n_normal']} normal slices. Brackets: 95 % "
        f"bootstrap intervals of the mean, {units}s and seeds resampled together; ± is the standard deviation "
        f"over seeds. Less reference: the difference from {_about(against)[0]}, mean over the seeds that both have, "
        f"with interval and p of the paired bootstrap, p corrected by Holm for all of this table; of one training each "
        f"there is none. {FEW} Calibration errors mean something for maps in probabilities alone. Trivial "
        "floor: the best AUROC of trivial features of the slice. Training includes the codebook where a method stands "
        "on one. "
        f"Devices: {'; '.join(devices)}. Commits: {', '.join(commits)}."
    )


def _header(filled: Filled) -> list[str]:
    return ["method", "family", "seeds", *(column.title for column in filled.columns.values())]


def _lines(filled: Filled, bold: str, plus_minus: str) -> list[list[str]]:
    columns = list(filled.columns.values())
    return [
        [*_about(row), *(_text(cell, column, bold, plus_minus) for cell, column in zip(line, columns, strict=True))]
        for row, line in zip(filled.rows, filled.cells, strict=True)
    ]


def _about(row: Row) -> list[str]:
    method = next(iter(row.records.values()))["method"]
    return [row.title or method["name"], method["family"], str(len(row.records))]


def _text(cell: Cell, column: Column, bold: str, plus_minus: str) -> str:
    text = column.show(cell.mean)
    if cell.spread is not None and (column.best or column.interval):  # not of budgets
        text += f" {plus_minus} {column.show(cell.spread)}"
    text = bold.format(text) if cell.bold else text
    if cell.low is not None:
        text += f" [{column.show(cell.low)}, {column.show(cell.high)}]"
    return text if cell.p is None else f"{text}, {cell.p}"


def _escape(text: str) -> str:
    # No cell is a command: what LaTeX reads as one is set as a sign.
    if text.startswith(BOLD_BEGINS):
        bold, _, rest = text.removeprefix(BOLD_BEGINS).partition(BOLD_ENDS)
        return rf"\textbf{{{_escape(bold)}}}{_escape(rest)}"
    opened = "{}" if text[:1] in ("[", "*") else ""  # which the end of the line above would take for its own
    return opened + "".join(SIGNS.get(sign, sign) for sign in " ".join(text.split()))
