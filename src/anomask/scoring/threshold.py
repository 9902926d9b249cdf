"""Decision thresholds from validation normals: never from the test set."""

import math
from collections.abc import Sequence

from anomask.errors import ConfigError, DataError


def normals_needed(specificity: float) -> int:
    """Return the fewest validation normals that can fix a threshold of a specificity in (0, 1)."""
    count = max(1, int(specificity / (1 - specificity)) - 1)  # the quotient, but for its rounding
    while math.ceil((count + 1) * specificity) > count:
        count += 1
    return count


def conformal_threshold(normal_scores: Sequence[float], specificity: float) -> float:
    """Return the threshold that a new normal slice exceeds with probability at most 1 - specificity.

    The finite-sample (split-conformal) quantile: the ceil((n + 1) * specificity)-th smallest score; a slice is called
    abnormal if its score is greater. It holds for slices exchangeable with the validation normals.

    Args:
        normal_scores: scores of validation normals.
        specificity: target, in (0, 1).

    Raises:
        DataError: too few normals for this target, or a score that is not finite.
    """
    scores = sorted(float(score) for score in normal_scores)
    if not all(math.isfinite(score) for score in scores):
        raise DataError("a validation normal has a score that is not finite; the model has diverged. Train it again.")
    return scores[require_normals(len(scores), specificity) - 1]


def require_normals(count: int, specificity: float) -> int:
    """Return which of the scores of so many normals, counted from 1 upwards, is the threshold.

    Raises:
        ConfigError: a specificity that is no share.
        DataError: too few normals for this target.
    """
    if not 0 < specificity < 1:
        raise ConfigError(f"scoring.specificity is {specificity}; wanted is a share between 0 and 1, such as 0.95.")
    rank = math.ceil((count + 1) * specificity)
    if rank > count:
        raise DataError(
            f"{count} validation normals cannot fix a threshold of specificity {specificity}; "
            f"{normals_needed(specificity)} are needed. Raise data.validation_share or lower scoring.specificity."
        )
    return rank
