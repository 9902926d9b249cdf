"""The thresholds of a run, with what they mean, as they are kept in its folder."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from anomask.metrics.histogram import score_below_share
from anomask.scoring.threshold import conformal_threshold


def thresholds(
    normal_scores: Sequence[float], specificity: float, normal_pixels: Tensor, pixel_specificity: float
) -> dict[str, Any]:
    """Fix both thresholds on validation normals.

    Args:
        normal_scores: slice scores.
        specificity: target over slices, in (0, 1).
        normal_pixels: histogram of map values, see `anomask.metrics.histogram`.
        pixel_specificity: target over pixels, in (0, 1).

    Raises:
        DataError: too few validation normals for the target, or scores that are not finite.
    """
    return {
        "threshold": conformal_threshold(normal_scores, specificity),
        "specificity": specificity,
        "n_normals": len(normal_scores),
        "meaning": "a slice is called abnormal if its score is greater; conformal quantile of validation normals",
        "pixel": {
            "threshold": score_below_share(normal_pixels, pixel_specificity),
            "specificity": pixel_specificity,
            "n_pixels": int(normal_pixels.sum()),
            "meaning": "a pixel is called anomalous if its value is greater; quantile of validation normals' pixels",
        },
    }
