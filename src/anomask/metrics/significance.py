"""P-values of paired differences, and their correction for how many were tested."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtr

from anomask.metrics.bootstrap import LEAST_EFFECTIVE, Interval, Weighted, resampled


class PValue(NamedTuple):
    """A two-sided p-value; a bound where no resample lay on the other side of zero: p is at most that."""

    value: float
    is_bound: bool = False

    def __str__(self) -> str:
        return f"p ≤ {self.value:.3f}" if self.is_bound else f"p {self.value:.3f}"


def paired_p_value(differences: np.ndarray, n_effective: float) -> PValue | None:
    """Return the two-sided bootstrap p-value of resampled differences [r], or None where it is not defined.

    It belongs to `anomask.metrics.bootstrap.percentile_interval`: below 0.05 where the interval leaves out zero.

    Args:
        differences: [r], NaN where undefined.
        n_effective: clusters, see `anomask.metrics.bootstrap.effective`.
    """
    kept = differences[~np.isnan(differences)]
    if n_effective < LEAST_EFFECTIVE or len(kept) <= len(differences) / 2:
        return None
    beyond = int(min((kept <= 0).sum(), (kept >= 0).sum()))
    tail = min(0.5, (beyond + 1) / (len(kept) + 1))
    value = 2 * stdtr(n_effective - 1, ndtri(tail) * np.sqrt((n_effective - 1) / n_effective))
    return PValue(float(value), beyond == 0)


def holm(found: Sequence[PValue | None]) -> list[PValue | None]:
    """Correct the p-values of one table for their number (Holm 1979), so that 0.05 holds for all of them together."""
    order = sorted((one.value, index) for index, one in enumerate(found) if one is not None)
    corrected, highest = list(found), 0.0
    for rank, (value, index) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * value))
        corrected[index] = PValue(highest, found[index].is_bound and highest < 1.0)
    return corrected


def paired_difference(
    difference: Weighted,
    names: Sequence[str],
    n_resamples: int,
    rng: np.random.Generator,
    unit: str = "patient",
    kinds: Sequence[np.ndarray] = (),
) -> tuple[Interval, PValue | None]:
    """Return the interval of a difference on the same resamples, and its p-value; arguments as in `resampled`."""
    found, values = resampled(difference, names, n_resamples, rng, unit, kinds)
    return found, None if values is None else paired_p_value(values, found.n_effective)


def less(first: Weighted, second: Weighted) -> Weighted:
    """Return the difference of two figures."""
    return lambda weights: first(weights) - second(weights)
