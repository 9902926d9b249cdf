"""Paired differences of two evaluations as plain rows and as a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from anomask.errors import RunError
from anomask.metrics.bootstrap import LEAST_CLUSTERS, Interval, cluster_weights, paired_p_value, percentile_interval
from anomask.metrics.curves import defined
from anomask.metrics.pixel_clusters import FIGURES, PixelClusters
from anomask.report.text import number, table_of


def pixel_differences(
    first: PixelClusters, second: PixelClusters, region: str, n_resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Return pixel-level differences over all diseases, both runs resampled alike.

    Raises:
        RunError: the clusters differ.
    """
    if first.held.keys() != second.held.keys() or first.unit != second.unit:
        raise RunError("the two runs' pixel histograms are of different patients or slices. Evaluate both again.")
    n = len(first.held)
    whole = [clusters.figures(np.ones((1, n))) for clusters in (first, second)]
    resampled = None
    if n >= LEAST_CLUSTERS and n_resamples:
        weights = cluster_weights(n, n_resamples, np.random.default_rng(seed))
        resampled = [clusters.figures(weights) for clusters in (first, second)]
    rows = []
    for name in FIGURES:
        values = [defined(figures[name][0]) for figures in whole]
        found, p_value = Interval(None, None, first.unit, n), None
        if resampled is not None:
            differences = resampled[0][name] - resampled[1][name]
            found, p_value = percentile_interval(differences, first.unit, n), paired_p_value(differences)
        rows.append(
            {"figure": f"pixel {name}, {region}", "group": "all", "values": values, **found._asdict(), "p": p_value}
        )
    return rows


def comparison(first: str, second: str, rows: Sequence[dict[str, Any]]) -> str:
    """Lay out paired differences as Markdown."""
    columns = {
        "figure": lambda row: row["figure"],
        "disease": lambda row: row["group"],
        first: lambda row: number(row["values"][0]),
        second: lambda row: number(row["values"][1]),
        "difference": lambda row: "–" if None in row["values"] else f"{row['values'][0] - row['values'][1]:+.3f}",
        "95 % interval": lambda row: "–" if row["low"] is None else f"{row['low']:+.3f} to {row['high']:+.3f}",
        "p": lambda row: number(row["p"]),
        "resampled": lambda row: f"{row['n_clusters']} {row['unit']}s",
    }
    return (
        table_of(columns, rows) + "\n\nPaired bootstrap: both runs on the same resamples; – where there are too few.\n"
    )
