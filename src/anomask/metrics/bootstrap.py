"""Confidence intervals by resampling whole patients: slices of one patient are not independent."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

LEAST_CLUSTERS = 5  # fewer give intervals that mean nothing
NUMBERS_AT_ONCE = 2_000_000  # held by one chunk of resamples


class Interval(NamedTuple):
    """A 95 % interval; low and high are None where it is not defined."""

    low: float | None
    high: float | None
    unit: str  # 'patient', 'lesion donor' or 'slice': what was resampled
    n_clusters: int


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


def resampled_weights(clusters: np.ndarray, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw clusters with replacement: how often each item counts in each resample, [n_resamples, n]."""
    return cluster_weights(int(clusters.max()) + 1, n_resamples, rng)[:, clusters]


def cluster_weights(n_clusters: int, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw clusters with replacement: how often each counts in each resample, [n_resamples, n_clusters]."""
    return rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=n_resamples).astype(float)


def interval(
    metric: Callable[[np.ndarray], np.ndarray],
    names: Sequence[str],
    n_resamples: int,
    rng: np.random.Generator,
    unit: str = "patient",
) -> Interval:
    """Return the percentile interval of a metric.

    Args:
        metric: weights [r, n] -> values [r], NaN where undefined.
        names: [n] the cluster of each slice, '' where unknown.
        n_resamples: r.
        rng: source of the resamples.
        unit: what a cluster is, see `cluster_names`.
    """
    clusters, unit = clusters_of(names, unit)
    n_clusters = len(set(clusters.tolist()))
    if n_clusters < LEAST_CLUSTERS or n_resamples == 0:
        return Interval(None, None, unit, n_clusters)
    return percentile_interval(metric(resampled_weights(clusters, n_resamples, rng)), unit, n_clusters)


def percentile_interval(values: np.ndarray, unit: str, n_clusters: int) -> Interval:
    """Return the interval of resampled values [r]; not defined where half of them or more are NaN."""
    kept = values[~np.isnan(values)]
    if len(kept) <= len(values) / 2:
        return Interval(None, None, unit, n_clusters)
    low, high = np.quantile(kept, [0.025, 0.975])
    return Interval(float(low), float(high), unit, n_clusters)


def paired_p_value(differences: np.ndarray) -> float | None:
    """Return the two-sided bootstrap p-value of resampled differences [r]; None where none is defined."""
    kept = differences[~np.isnan(differences)]
    if not len(kept):
        return None
    tail = min((kept <= 0).sum(), (kept >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(kept) + 1)))


def paired_difference(
    first: Callable[[np.ndarray], np.ndarray],
    second: Callable[[np.ndarray], np.ndarray],
    names: Sequence[str],
    n_resamples: int,
    rng: np.random.Generator,
    unit: str = "patient",
) -> tuple[Interval, float | None]:
    """Return the interval of first - second on the same resamples, and a two-sided p-value.

    Args:
        first, second: metrics as in `interval`, of two runs on the same slices.
    """
    values: list[np.ndarray] = []

    def difference(weights: np.ndarray) -> np.ndarray:
        values.append(first(weights) - second(weights))
        return values[-1]

    found = interval(difference, names, n_resamples, rng, unit)
    return found, None if found.low is None else paired_p_value(values[0])
