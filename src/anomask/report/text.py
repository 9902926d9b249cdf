"""Figures and tables as Markdown text."""

from collections.abc import Callable, Sequence
from typing import Any


def number(value: float | None) -> str:
    """Format a figure with three decimals; '–' where it is not defined."""
    return "–" if value is None else f"{value:.3f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table with aligned columns."""
    widths = [max(len(str(row[column])) for row in (header, *rows)) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(str(c).ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines
    )


def table_of(columns: dict[str, Callable[[dict[str, Any]], str]], rows: Sequence[dict[str, Any]]) -> str:
    """Lay out rows, each column by its own function."""
    return table(list(columns), [[text(row) for text in columns.values()] for row in rows])
