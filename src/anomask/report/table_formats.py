"""A paper table as Markdown, LaTeX and CSV. Knows no torch."""

import csv
import io
from collections.abc import Sequence

from anomask.report.columns import COLUMNS, Column
from anomask.report.paper_table import Cell, Row, cells
from anomask.report.text import table


def markdown(title: str, rows: Sequence[Row], names: Sequence[str], about: str) -> str:
    """Return the table as Markdown."""
    lines = _lines(rows, names, "**{}**", "±")
    return f"# {title}\n\n{table(_header(names), lines)}\n\n{about}\n"


def latex(title: str, rows: Sequence[Row], names: Sequence[str], about: str) -> str:
    """Return the table as LaTeX; needs the package booktabs."""
    head, *lines = (
        " & ".join(_escape(cell) for cell in line) + r" \\"
        for line in [_header(names), *_lines(rows, names, r"\textbf{{{}}}", r"$\pm$")]
    )
    body = "\n".join(lines)
    places = "ll" + "r" * (len(names) + 1)
    return (
        f"% {about}\n\\begin{{table}}\n\\caption{{{_escape(title)}}}\n\\begin{{tabular}}{{{places}}}\n"
        f"\\toprule\n{head}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


def as_csv(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Return every figure with its spread and interval, unrounded."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    parts = ("mean", "spread", "low", "high")
    writer.writerow(["method", "family", "seeds", *(f"{name}_{part}" for name in names for part in parts)])
    for row, line in zip(rows, cells(rows, [COLUMNS[name] for name in names]), strict=True):
        writer.writerow([*_about(row), *("" if value is None else value for cell in line for value in cell[:4])])
    return stream.getvalue()


def footnote(rows: Sequence[Row]) -> str:
    """Say what the figures are: data, n, unit of the intervals, commits, machine."""
    records = [record for row in rows for record in row.records]
    first = next(row for row in records[0]["image"] if row["group"] == "all")
    commits = sorted({str(record["commit"]) for record in records})
    devices = sorted({f"{record['cost']['devices']}, {record['cost']['cpu_threads']} threads" for record in records})
    return (
        f"{records[0]['data']}: {first['n_abnormal']} abnormal and {first['n_normal']} normal slices. Brackets: 95 % "
        f"bootstrap intervals by {records[0]['bootstrap']['unit']}, averaged over seeds; ± is the standard deviation "
        "over seeds. Trivial floor: the best AUROC of trivial features of the slice. Training includes the codebook "
        f"where a method stands on one. Devices: {'; '.join(devices)}. Commits: {', '.join(commits)}."
    )


def _header(names: Sequence[str]) -> list[str]:
    return ["method", "family", "seeds", *(COLUMNS[name].title for name in names)]


def _lines(rows: Sequence[Row], names: Sequence[str], bold: str, plus_minus: str) -> list[list[str]]:
    columns = [COLUMNS[name] for name in names]
    return [
        [*_about(row), *(_text(cell, column, bold, plus_minus) for cell, column in zip(line, columns, strict=True))]
        for row, line in zip(rows, cells(rows, columns), strict=True)
    ]


def _about(row: Row) -> list[str]:
    method = row.records[0]["method"]
    return [method["name"], method["family"], str(len(row.records))]


def _text(cell: Cell, column: Column, bold: str, plus_minus: str) -> str:
    text = column.show(cell.mean)
    if cell.spread is not None and (column.best or column.interval):  # not of budgets
        text += f" {plus_minus} {column.show(cell.spread)}"
    text = bold.format(text) if cell.bold else text
    return text if cell.low is None else f"{text} [{column.show(cell.low)}, {column.show(cell.high)}]"


def _escape(text: str) -> str:
    return text.replace("_", r"\_").replace("%", r"\%").replace("&", r"\&").replace("–", "--")
