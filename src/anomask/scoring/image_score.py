"""One score a slice from its anomaly map (method.md section 6). All share ``(anomaly_map, within) -> [B]``."""

from torch import Tensor


def mean_of_flagged(anomaly_map: Tensor, within: Tensor) -> Tensor:
    """Return sum(A) / (#{A > 0} + 1), the authors' release's score.

    Args:
        anomaly_map: [B, 1, H, W] >= 0.
        within: [B, 1, H, W] bool, pixels that count.
    """
    kept = anomaly_map * within
    return kept.sum((1, 2, 3)) / ((kept > 0).sum((1, 2, 3)) + 1)


def total(anomaly_map: Tensor, within: Tensor) -> Tensor:
    """Return sum(A) over the pixels that count; arguments as in `mean_of_flagged`."""
    return (anomaly_map * within).sum((1, 2, 3))


def top_share(anomaly_map: Tensor, within: Tensor, *, share: float) -> Tensor:
    """Return the mean of the highest `share` of the pixels that count; other arguments as in `mean_of_flagged`.

    The number of pixels follows each slice's own `within`, so a small lung is not diluted; at least one pixel counts.
    """
    kept = (anomaly_map * within).flatten(1).sort(dim=1, descending=True).values
    counts = (within.flatten(1).sum(1) * share).round().clamp(min=1).long()
    return kept.cumsum(1).gather(1, counts[:, None] - 1).squeeze(1) / counts
