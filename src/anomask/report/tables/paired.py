"""Paired tests between two rows of a table: the same slices, the same resamples, all seeds together. Knows no torch."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np

from anomask.errors import RunError
from anomask.metrics.bootstrap import (
    LEAST_CLUSTERS,
    cluster_weights,
    paired_difference,
    paired_p_value,
    percentile_interval,
)
from anomask.metrics.image import weighted_auroc
from anomask.report.record.saved import clusters_in, read_clusters, read_scores

Weighted = Callable[[np.ndarray], np.ndarray]


class Difference(NamedTuple):
    """A row's figure less the reference's, mean over seeds; interval and p are None with too few patients."""

    mean: float
    low: float | None
    high: float | None
    p: float | None


def auroc_difference(folders: Sequence[Path], others: Sequence[Path], n_resamples: int, seed: int) -> Difference | None:
    """Return the difference in slice AUROC, all diseases together.

    Args:
        folders, others: of one row and of the reference, one a seed; each holds scores.csv.
        n_resamples: of patients (of lesions' donors) where they are known, else of slices.
        seed: of the resamples.

    Raises:
        RunError: the two were evaluated on different slices.
    """
    tables = [[{row["path"]: row for row in read_scores(folder)} for folder in side] for side in (folders, others)]
    first = tables[0][0]
    for folder, table in zip([*folders, *others], [*tables[0], *tables[1]], strict=True):
        if table.keys() != first.keys():
            raise RunError(f"{folder} and {folders[0]} hold scores of different slices. Evaluate both again.")
    paths = sorted(first)
    labels = np.array([bool(first[path]["disease"]) for path in paths])
    names, unit = clusters_in([*tables[0], *tables[1]], paths)
    sides = [
        _mean_of(
            [
                partial(weighted_auroc, np.array([float(table[path]["score"]) for path in paths]), labels)
                for table in side
            ]
        )
        for side in tables
    ]
    whole = [float(side(np.ones((1, len(paths))))[0]) for side in sides]
    found, p = paired_difference(*sides, names, n_resamples, np.random.default_rng(seed), unit)
    return Difference(whole[0] - whole[1], found.low, found.high, p)


def pixel_difference(
    folders: Sequence[Path], others: Sequence[Path], region: str, figure: str, n_resamples: int, seed: int
) -> Difference | None:
    """Return the difference in a pixel figure, or None where the data set has no such masks.

    Args:
        folders, others: as in `auroc_difference`; each holds pixels_<region>.npz.
        region: 'slice' or 'lung'.
        figure: 'auroc', 'ap' or 'aupro'.
        n_resamples, seed: as in `auroc_difference`.

    Raises:
        RunError: the two were evaluated on different patients or slices.
    """
    sides = [[read_clusters(folder, region) for folder in side] for side in (folders, others)]
    every = [clusters for side in sides for clusters in side]
    if None in every:
        return None
    units = {clusters.unit for clusters in every}
    if len(units) == 1 and any(clusters.held.keys() != every[0].held.keys() for clusters in every):
        raise RunError(
            f"{folders[0]} and {others[0]} hold pixels of different patients or slices. Evaluate both again."
        )
    whole = [fmean([c.figures(np.ones((1, len(c.held))))[figure][0] for c in side]) for side in sides]
    n = min(len(clusters.held) for clusters in every)
    # Clusters of two kinds (an evaluation from before donors of lesions were known) cannot be resampled alike.
    if n < LEAST_CLUSTERS or not n_resamples or len(units) > 1:
        return Difference(whole[0] - whole[1], None, None, None)
    weights = cluster_weights(n, n_resamples, np.random.default_rng(seed))
    means = [_mean_of([lambda w, c=clusters: c.figures(w)[figure] for clusters in side]) for side in sides]
    differences = means[0](weights) - means[1](weights)
    found = percentile_interval(differences, units.pop(), n)
    return Difference(whole[0] - whole[1], found.low, found.high, paired_p_value(differences))


def _mean_of(figures: Sequence[Weighted]) -> Weighted:
    return lambda weights: np.mean([figure(weights) for figure in figures], axis=0)
