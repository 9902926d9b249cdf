"""Intervals of rows of a table and paired tests between them: patients and seeds resampled together. Knows no torch."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from anomask.errors import RunError
from anomask.metrics.bootstrap import Interval, Weighted, interval, over_seeds
from anomask.metrics.image import weighted_auroc, weighted_average_precision, weighted_rates
from anomask.metrics.pixel_clusters import PixelClusters
from anomask.metrics.significance import PValue, less, paired_difference, paired_p_value
from anomask.report.record.saved import clusters_file, clusters_in, read_clusters, read_scores

SLICE_FIGURES = ("auroc", "ap", "sensitivity", "specificity")


class Difference(NamedTuple):
    """A row's figure less the reference's, mean over seeds.

    Interval and p are None with too few patients; p also of one training each, which says nothing of other draws.
    """

    mean: float
    low: float | None
    high: float | None
    p: PValue | None


class Slices(NamedTuple):
    """The slices of some evaluations on the same test set."""

    labels: np.ndarray  # [n] bool
    diseases: np.ndarray  # [n] '' for normal slices
    names: list[str]  # [n] what is resampled as a whole
    unit: str
    scores: list[np.ndarray]  # [n] of each evaluation


def slices_of(folders: Sequence[Path]) -> Slices:
    """Read the scores of several evaluations.

    Raises:
        RunError: they were evaluated on different slices, or a table of scores is damaged.
    """
    tables = [{row["path"]: row for row in read_scores(folder)} for folder in folders]
    for folder, table in zip(folders, tables, strict=True):
        if table.keys() != tables[0].keys():
            raise RunError(f"{folder} and {folders[0]} hold scores of different slices. Evaluate both again.")
    paths = sorted(tables[0])
    diseases = np.array([tables[0][path]["disease"] for path in paths])
    scores = [np.array([float(table[path]["score"]) for path in paths]) for table in tables]
    return Slices(diseases != "", diseases, *clusters_in(tables, paths), scores)


def slice_interval(
    folders: Sequence[Path], thresholds: Sequence[float], figure: str, group: str, n_resamples: int, seed: int
) -> Interval | None:
    """Return the interval of the mean over seeds of a slice-level figure, or None where no scores were kept.

    Args:
        folders: one a seed; each holds scores.csv.
        thresholds: of each seed.
        figure: of `SLICE_FIGURES`.
        group: a disease against all normal slices, or 'all'.
        n_resamples: of patients (of lesions' donors) where they are known, else of slices; and of seeds.
        seed: of the resamples.
    """
    if not all((folder / "scores.csv").is_file() for folder in folders):
        return None
    found = slices_of(folders)
    kept = np.ones(len(found.labels), bool) if group == "all" else np.isin(found.diseases, ("", group))
    labels, names = found.labels[kept], [name for name, own in zip(found.names, kept, strict=True) if own]
    figures = [
        _slice_figure(figure, scores[kept], labels, threshold)
        for scores, threshold in zip(found.scores, thresholds, strict=True)
    ]
    kinds = {"sensitivity": [labels], "specificity": [~labels]}.get(figure, [labels, ~labels])
    mean = over_seeds(figures, np.random.default_rng([seed, 1]))
    return interval(mean, names, n_resamples, np.random.default_rng(seed), found.unit, kinds)


def _slice_figure(figure: str, scores: np.ndarray, labels: np.ndarray, threshold: float) -> Weighted:
    if figure in ("sensitivity", "specificity"):
        return lambda weights: weighted_rates(scores > threshold, labels, weights)[figure == "specificity"]
    return partial({"auroc": weighted_auroc, "ap": weighted_average_precision}[figure], scores, labels)


def pixel_interval(folders: Sequence[Path], figure: str, region: str, n_resamples: int, seed: int) -> Interval | None:
    """Return the interval of the mean over seeds of a pixel figure, or None where no histograms were kept.

    Args:
        folders: one a seed; each holds pixels_<region>.npz.
        figure: 'auroc', 'ap' or 'aupro'.
        region: 'slice' or 'lung'.
        n_resamples, seed: as in `slice_interval`.
    """
    if not all(clusters_file(folder, region).is_file() for folder in folders):
        return None
    every = [read_clusters(folder, region) for folder in folders]
    if any(clusters.held.keys() != every[0].held.keys() for clusters in every):
        return None
    mean = over_seeds([_pixel_figure(clusters, figure) for clusters in every], np.random.default_rng([seed, 1]))
    weights = every[0].drawn(n_resamples, seed)
    return every[0].interval_of(None if weights is None else mean(weights))


def _pixel_figure(clusters: PixelClusters, figure: str) -> Weighted:
    return lambda weights: clusters.figures(weights)[figure]


def auroc_difference(folders: Sequence[Path], others: Sequence[Path], n_resamples: int, seed: int) -> Difference | None:
    """Return the difference in slice AUROC, all diseases together.

    Args:
        folders, others: of one row and of the reference, one for each of the same seeds in the same order; each holds
            scores.csv.
        n_resamples, seed: as in `slice_interval`.

    Raises:
        RunError: the two were evaluated on different slices, or have another number of seeds.
    """
    found = slices_of([*folders, *others])
    pairs = _pairs([partial(weighted_auroc, scores, found.labels) for scores in found.scores], len(folders))
    difference = over_seeds(pairs, np.random.default_rng([seed, 1]))
    rng, kinds = np.random.default_rng(seed), [found.labels, ~found.labels]
    between, p = paired_difference(difference, found.names, n_resamples, rng, found.unit, kinds)
    whole = [float(pair(np.ones((1, len(found.labels))))[0]) for pair in pairs]
    return Difference(float(np.mean(whole)), between.low, between.high, p if len(pairs) > 1 else None)


def pixel_difference(
    folders: Sequence[Path], others: Sequence[Path], region: str, figure: str, n_resamples: int, seed: int
) -> Difference | None:
    """Return the difference in a pixel figure, or None where the data set has no such masks.

    Args:
        folders, others: as in `auroc_difference`; each holds pixels_<region>.npz.
        region, figure: as in `pixel_interval`.
        n_resamples, seed: as in `slice_interval`.

    Raises:
        RunError: the two were evaluated on different patients or slices, or have another number of seeds.
    """
    every = [read_clusters(folder, region) for folder in [*folders, *others]]
    if None in every:
        return None
    units = {clusters.unit for clusters in every}
    if len(units) == 1 and any(clusters.held.keys() != every[0].held.keys() for clusters in every):
        raise RunError(
            f"{folders[0]} and {others[0]} hold pixels of different patients or slices. Evaluate both again."
        )
    figures = [_pixel_figure(clusters, figure) for clusters in every]
    pairs = _pairs(figures, len(folders))
    whole = [one(np.ones((1, len(clusters.held))))[0] for one, clusters in zip(figures, every, strict=True)]
    mean = float(np.mean(whole[: len(folders)]) - np.mean(whole[len(folders) :]))
    weights = every[0].drawn(n_resamples, seed)
    # Clusters of two kinds (an evaluation from before donors of lesions were known) cannot be resampled alike.
    if weights is None or len(units) > 1:
        return Difference(mean, None, None, None)
    differences = over_seeds(pairs, np.random.default_rng([seed, 1]))(weights)
    found = every[0].interval_of(differences)
    p = paired_p_value(differences, found.n_effective) if len(pairs) > 1 else None
    return Difference(mean, found.low, found.high, p)


def _pairs(figures: Sequence[Weighted], n: int) -> list[Weighted]:
    """Return the differences of the first `n` figures from the others, seed by seed."""
    if len(figures) != 2 * n:
        raise RunError(f"{n} evaluations cannot be paired with {len(figures) - n}: the same seeds of both are wanted.")
    return [less(one, other) for one, other in zip(figures[:n], figures[n:], strict=True)]
