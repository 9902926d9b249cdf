"""Figures and tables as Markdown text."""

from collections.abc import Callable, Sequence
from math import floor
from typing import Any

from anomask.metrics.bootstrap import LEAST_EFFECTIVE

RESEARCH_USE = "For research use only; not a medical device."
FEW = (
    f"No interval and no p-value stand on fewer than {LEAST_EFFECTIVE} effective patients, donors or slices: so many "
    "of equal size would say the same."
)


def number(value: float | None) -> str:
    """Format a figure with three decimals; '–' where it is not defined."""
    return "–" if value is None else f"{value:.3f}"


def not_defined(found: dict[str, Any]) -> str:
    """Say why there is no interval, see `anomask.metrics.bootstrap.Interval`."""
    n, effective, plural = found["n_clusters"], found["n_effective"], f"{found['unit']}s"
    if effective >= LEAST_EFFECTIVE:  # nothing was resampled, or the figure is not defined in most resamples
        return "–"
    if n < LEAST_EFFECTIVE:
        return f"not defined, n = {n} {found['unit'] if n == 1 else plural}"
    return f"not defined, {n} {plural} as good as {floor(10 * effective) / 10:.1f}"


def inline(text: object) -> str:
    """Return a text as it stands in a line of Markdown: no HTML, no link, no line or table cell of its own.

    Renderers show entities as the signs that they stand for.
    """
    escaped = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("|", "&#124;").replace("](", "]&#40;")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table with aligned columns."""
    header, rows = [inline(cell) for cell in header], [[inline(cell) for cell in row] for row in rows]
    widths = [max(len(str(row[column])) for row in (header, *rows)) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(str(c).ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines
    )


def table_of(columns: dict[str, Callable[[dict[str, Any]], str]], rows: Sequence[dict[str, Any]]) -> str:
    """Lay out rows, each column by its own function."""
    return table(list(columns), [[text(row) for text in columns.values()] for row in rows])
