"""Score histograms fine enough to stand for the scores: every curve metric of millions of pixels from one pass.

A float32 that is not negative orders like its own bit pattern, so cutting the pattern's low bits gives bins of equal
relative width at 1e-6 and at 0.5, with zero in a bin of its own: no range has to be known beforehand, and heavy tails
and piles at zero cost nothing. Between 0.5 and 1 the pattern of 1 - score is cut instead, so that saturated
probabilities stay apart as well.
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from anomask.errors import DataError
from anomask.metrics.bins import HALF, LEAST, N_BINS, ONE, SHIFT, pattern


def add_histogram(metric: Metric, name: str, dtype: torch.dtype) -> None:
    """Give a metric a histogram as a state, summed over processes."""
    metric.add_state(name, torch.zeros(N_BINS, dtype=dtype), dist_reduce_fx="sum")
    metric._defaults[name] = torch.zeros((), dtype=dtype).expand(N_BINS)  # for resets; whole, it doubled the memory


def joined(metrics: Sequence[Metric]) -> Metric:
    """Return one metric that has counted what several, each of its own slices, have counted."""
    if len(metrics) == 1:
        return metrics[0]
    whole = deepcopy(metrics[0])
    for metric in metrics[1:]:
        whole.merge_state(metric)
    return whole


def check_range(scores: Tensor) -> float:
    """Return the highest score, 0 where there is none.

    Raises:
        DataError: a score that is not finite, or negative.
    """
    if not scores.numel():
        return 0.0
    low, high = scores.aminmax()  # NaN if any score is
    if not (bool(low >= 0) and bool(high < torch.inf)):
        raise DataError(
            "an anomaly score is NaN, infinite or negative; finite scores >= 0 are wanted. The model has diverged: "
            "look at its losses, lower the learning rate and train again."
        )
    return float(high)


def score_bins(scores: Tensor) -> Tensor:
    """Return the bin of each score, int64, in the scores' order.

    Raises:
        DataError: a score that is not finite, or negative.
    """
    scores = scores.float().contiguous()
    if check_range(scores) < 0.5:  # most maps: nothing to fold
        return ((scores.clamp(min=2.0**-40).view(torch.int32) >> SHIFT) - LEAST).long()
    upper = (scores >= 0.5) & (scores < 1.0)
    folded = torch.where(upper, 1.0 - scores, scores).clamp(2.0**-40, 2.0**40)
    bits = (folded.view(torch.int32) >> SHIFT).long() - LEAST
    # In the folded part a larger pattern is a lower score; both ends of each part are kept apart.
    bits = torch.where(upper, 2 * HALF - bits + 1, bits)
    return torch.where(scores >= 1.0, bits + LEAST - pattern(1.0) + ONE, bits)


def bin_score(index: int) -> float:
    """Return a score of a bin: its end nearer to 0, or to 1 for bins between 0.5 and 1."""
    folded = HALF < index < ONE
    below_one = (2 * HALF - index + 1 if folded else index) + LEAST
    bits = below_one if index < ONE else index - ONE + pattern(1.0)
    value = float(torch.tensor(bits << SHIFT, dtype=torch.int32).view(torch.float32))
    return 1.0 - value if folded else (0.0 if index == 0 else value)


class Curve(NamedTuple):
    """Counts of pixels or slices at or above falling thresholds; only bins that hold something are kept."""

    bins: np.ndarray  # [n] int64, falling
    true: np.ndarray  # [n] positives with a score in this bin or a higher one
    false: np.ndarray  # [n] negatives, likewise
    overlap: np.ndarray  # [n] mean share of each region that is found; zeros without regions


def score_below_share(counts: Tensor, share: float) -> float:
    """Return the lowest score that at least `share` of the histogram [bins] does not exceed.

    Raises:
        DataError: the histogram is empty.
    """
    total = int(counts.sum())
    if not total:
        raise DataError("no pixel was counted, so no pixel threshold can be fixed on them.")
    index = int(torch.searchsorted(counts.cumsum(0), math.ceil(share * total)))
    return bin_score(min(index + 1, N_BINS - 1))


def falling_curve(positives: Tensor, negatives: Tensor, overlaps: Tensor | None, n_regions: int) -> Curve:
    """Accumulate histograms [bins] from the highest score down."""
    kept = torch.nonzero(positives + negatives).flatten()
    shares = None if overlaps is None else overlaps[kept]
    return accumulate(kept, positives[kept], negatives[kept], shares, n_regions)


def accumulate(bins: Tensor, positives: Tensor, negatives: Tensor, overlaps: Tensor | None, n_regions: int) -> Curve:
    """Accumulate the counts [n] of rising bins [n], none of them empty, from the highest score down."""
    true, false = (values.flip(0).double().cumsum(0).cpu().numpy() for values in (positives, negatives))
    overlap = np.zeros(len(bins))
    if overlaps is not None and n_regions:
        overlap = (overlaps.flip(0).double().cumsum(0) / n_regions).cpu().numpy()
    return Curve(bins.flip(0).cpu().numpy(), true, false, overlap)


def best_dice(curve: Curve) -> tuple[float, float] | tuple[None, None]:
    """Return the best Dice (F1) over all thresholds and its threshold: an oracle; None without positives."""
    if not len(curve.true) or not curve.true[-1]:
        return None, None
    dice = 2 * curve.true / (curve.true[-1] + curve.true + curve.false)
    best = int(dice.argmax())
    return float(dice[best]), bin_score(int(curve.bins[best]))
