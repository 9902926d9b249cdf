"""Paired differences of two evaluations as plain rows and as a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from anomask.errors import RunError
from anomask.metrics.curves import defined
from anomask.metrics.pixel_clusters import FIGURES, PixelClusters
from anomask.metrics.significance import holm, paired_p_value
from anomask.report.text import FEW, not_defined, number, table_of


def pixel_differences(
    first: PixelClusters, second: PixelClusters, region: str, n_resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Return pixel-level differences over all diseases, both runs resampled alike.

    Raises:
        RunError: the clusters differ.
    """
    if first.held.keys() != second.held.keys() or first.unit != second.unit:
        raise RunError("the two runs' pixel histograms are of different patients or slices. Evaluate both again.")
    whole = [clusters.figures(np.ones((1, len(first.held)))) for clusters in (first, second)]
    weights = first.drawn(n_resamples, seed)
    resampled = None if weights is None else [clusters.figures(weights) for clusters in (first, second)]
    rows = []
    for name in FIGURES:
        values = [defined(figures[name][0]) for figures in whole]
        differences = None if resampled is None else resampled[0][name] - resampled[1][name]
        found = first.interval_of(differences)
        p_value = None if differences is None else paired_p_value(differences, first.n_effective)
        rows.append(
            {"figure": f"pixel {name}, {region}", "group": "all", "values": values, **found._asdict(), "p": p_value}
        )
    return rows


def corrected(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows as plain values, each with its p-value, whether that is a bound, and Holm's for all of them."""
    pairs = zip(rows, holm([row["p"] for row in rows]), strict=True)
    return [
        row
        | {
            "p": row["p"] and row["p"].value,
            "p_is_bound": bool(row["p"] and row["p"].is_bound),
            "p_holm": after and after.value,
        }
        for row, after in pairs
    ]


def comparison(first: str, second: str, rows: Sequence[dict[str, Any]]) -> str:
    """Lay out paired differences as Markdown."""
    columns = {
        "figure": lambda row: row["figure"],
        "disease": lambda row: row["group"],
        first: lambda row: number(row["values"][0]),
        second: lambda row: number(row["values"][1]),
        "difference": lambda row: "–" if None in row["values"] else f"{row['values'][0] - row['values'][1]:+.3f}",
        "95 % interval": lambda row: (
            not_defined(row) if row["low"] is None else f"{row['low']:+.3f} to {row['high']:+.3f}"
        ),
        "p": lambda row: _p(row, "p"),
        "p, Holm": lambda row: _p(row, "p_holm"),
        "resampled": lambda row: f"{row['n_clusters']} {row['unit']}s",
    }
    return (
        f"{table_of(columns, rows)}\n\nPaired bootstrap, both runs on the same resamples. "
        f"Holm: corrected for all lines. {FEW}\n"
    )


def _p(row: dict[str, Any], name: str) -> str:
    return f"{'≤ ' if row['p_is_bound'] else ''}{number(row[name])}"
