"""Confidence intervals by resampling whole patients: slices of one patient are not independent."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, stdtrit

LEAST_EFFECTIVE = 10  # clusters; with fewer an interval covers the truth far less often than it says
NUMBERS_AT_ONCE = 2_000_000  # held by one chunk of resamples

Weighted = Callable[[np.ndarray], np.ndarray]  # weights [r, n] -> a figure [r], NaN where undefined


class Interval(NamedTuple):
    """A 95 % interval; low and high are None where it is not defined."""

    low: float | None
    high: float | None
    unit: str  # 'patient', 'lesion donor' or 'slice': what was resampled
    n_clusters: int
    n_effective: float  # clusters of equal size that would say as much, see `effective`


def cluster_names(patients: Sequence[str], donors: Sequence[str]) -> tuple[list[str], str]:
    """Return what intervals resample as a whole, and its unit: of transplants who lent the lesion, else the patient.

    Args:
        patients: of each slice, '' where unknown.
        donors: of each slice's lesion, or of the lesion that a copy of it was given; '' where it is no transplant.
    """
    names = [donor or patient for donor, patient in zip(donors, patients, strict=True)]
    return names, "lesion donor" if any(donors) else "patient"


def clusters_of(names: Sequence[str], unit: str = "patient") -> tuple[np.ndarray, str]:
    """Return a cluster number for each slice, and the unit: `unit` if all names are known, else single slices."""
    if len(names) and all(names):
        return np.unique(np.asarray(names), return_inverse=True)[1], unit
    return np.arange(len(names)), "slice"


def effective(*sizes: np.ndarray) -> float:
    """Return how many clusters of equal size say as much as these (Kish 1965): square of the sum over sum of squares.

    Args:
        sizes: how much of each cluster is there, [n] each, one for each kind that a figure needs (abnormal and normal
            slices, say); the kind with the fewest decides. A cluster without any does not count.
    """
    return min((float(one.sum() ** 2 / (one**2).sum()) if one.any() else 0.0 for one in sizes), default=0.0)


def resampled_weights(clusters: np.ndarray, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw clusters with replacement: how often each item counts in each resample, [n_resamples, n]."""
    return cluster_weights(int(clusters.max()) + 1, n_resamples, rng)[:, clusters]


def cluster_weights(n_clusters: int, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw clusters with replacement: how often each counts in each resample, [n_resamples, n_clusters]."""
    return rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=n_resamples).astype(float)


def over_seeds(figures: Sequence[Weighted], rng: np.random.Generator) -> Weighted:
    """Return the mean over a row's seeds with the seeds resampled, too, anew for each row of weights.

    A resample of S seeds spreads too little by the square root of (S - 1) / S, and is spread as much more. One seed
    says nothing of other draws: its interval is of the patients alone.

    Args:
        figures: of each seed.
        rng: source of the resamples of seeds.
    """

    def mean(weights: np.ndarray) -> np.ndarray:
        values, n = np.stack([figure(weights) for figure in figures]), len(figures)
        if n == 1:
            return values[0]
        drawn = cluster_weights(n, len(weights), rng).T / n
        return values.mean(0) + np.sqrt(n / (n - 1)) * (values * (drawn - 1 / n)).sum(0)

    return mean


def interval(
    metric: Weighted,
    names: Sequence[str],
    n_resamples: int,
    rng: np.random.Generator,
    unit: str = "patient",
    kinds: Sequence[np.ndarray] = (),
) -> Interval:
    """Return the interval of a metric; see `resampled` for the arguments."""
    return resampled(metric, names, n_resamples, rng, unit, kinds)[0]


def resampled(
    metric: Weighted,
    names: Sequence[str],
    n_resamples: int,
    rng: np.random.Generator,
    unit: str = "patient",
    kinds: Sequence[np.ndarray] = (),
) -> tuple[Interval, np.ndarray | None]:
    """Return the interval of a metric, and its resampled values [r], or None where there are too few clusters.

    Args:
        metric: weights [r, n] -> values [r], NaN where undefined.
        names: [n] the cluster of each slice, '' where unknown.
        n_resamples: r.
        rng: source of the resamples.
        unit: what a cluster is, see `cluster_names`.
        kinds: [n] each, how much each slice counts of what the metric needs, see `effective`; none: all alike.
    """
    clusters, unit = clusters_of(names, unit)
    sizes = [np.bincount(clusters, kind) for kind in kinds or [np.ones(len(clusters))]] if len(clusters) else []
    n_clusters, n_effective = len(set(clusters.tolist())), effective(*sizes)
    if n_effective < LEAST_EFFECTIVE or n_resamples == 0:
        return Interval(None, None, unit, n_clusters, n_effective), None
    at_once = max(1, NUMBERS_AT_ONCE // len(clusters))
    counts = [min(at_once, n_resamples - start) for start in range(0, n_resamples, at_once)]
    values = np.concatenate([metric(resampled_weights(clusters, count, rng)) for count in counts])
    return percentile_interval(values, unit, n_clusters, n_effective), values


def percentile_interval(values: np.ndarray, unit: str, n_clusters: int, n_effective: float) -> Interval:
    """Return the expanded percentile interval of resampled values [r] (Hesterberg 2015).

    Resampling n clusters spreads too little by the square root of (n - 1) / n, and its tails are those of a normal, not
    of a t distribution: the percentiles lie further out by as much. Not defined where half of the values are NaN.
    """
    kept = values[~np.isnan(values)]
    if len(kept) <= len(values) / 2 or n_effective < LEAST_EFFECTIVE:
        return Interval(None, None, unit, n_clusters, n_effective)
    tail = ndtr(np.sqrt(n_effective / (n_effective - 1)) * stdtrit(n_effective - 1, 0.025))
    low, high = np.quantile(kept, [tail, 1 - tail])
    return Interval(float(low), float(high), unit, n_clusters, n_effective)
