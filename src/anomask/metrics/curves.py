"""Areas under curves, over the last axis of arrays: one test set, or a thousand resamples of it at once.

All curves fall from the highest threshold: `true` and `false` are how many positives and negatives score at least the
n-th threshold, [..., n], counted or weighted. A figure that is not defined is NaN.
"""

import numpy as np

FPR_LIMIT = 0.3  # AUPRO's usual limit (Bergmann et al. 2021)


def auroc(true: np.ndarray, false: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, ties counted half: [...]."""
    area = (_steps(false) * (true + _before(true))).sum(-1) / 2
    return _divide(area, true[..., -1] * false[..., -1])


def average_precision(true: np.ndarray, false: np.ndarray) -> np.ndarray:
    """Average precision, the step-wise sum over recall: [...]; NaN unless both classes are there."""
    precision = np.nan_to_num(_divide(true, true + false))
    value = _divide((_steps(true) * precision).sum(-1), true[..., -1])
    return np.where(false[..., -1] > 0, value, np.nan)


def aupro(overlap: np.ndarray, false: np.ndarray, limit: float = FPR_LIMIT) -> np.ndarray:
    """Area under mean per-region overlap against false-positive rate up to `limit`, divided by it (Bergmann 2021).

    The point at the limit is interpolated.

    Args:
        overlap: mean share of each region found at each threshold, [..., n] in [0, 1].
        false: as above.
        limit: in (0, 1].
    """
    rate = _divide(false, false[..., -1:])
    start, stop = _before(rate), rate
    inside = np.clip(limit - start, 0.0, stop - start)  # the part of each step that lies below the limit
    part = np.nan_to_num(_divide(inside, stop - start))
    low = _before(overlap)
    area = (inside * (low + part * (overlap - low) / 2)).sum(-1) / limit
    return np.where((overlap[..., -1] > 0) & (false[..., -1] > 0), area, np.nan)


def defined(value: np.ndarray | float) -> float | None:
    """Return a figure as a plain float, or None where it is not defined."""
    return None if np.isnan(value) else float(value)


def _before(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros_like(values[..., :1]), values[..., :-1]], axis=-1)


def _steps(values: np.ndarray) -> np.ndarray:
    return values - _before(values)


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)
