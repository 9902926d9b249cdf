"""Pixel-level localisation metrics from one histogram state."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torchmetrics import Metric

from anomask.errors import DataError
from anomask.metrics.histogram import (
    N_BINS,
    aupro,
    auroc,
    average_precision,
    best_dice,
    falling_curve,
    score_bins,
)

_EIGHT = np.ones((3, 3))


class PixelMetrics(Metric):
    """AUROC, AP, AUPRO and best Dice of anomaly maps, and Dice, IoU, sensitivity and specificity at a threshold.

    The state is three histograms and a few counts, summed over processes: its size does not depend on the number of
    slices. Against exact values the error is below 1e-4.

    Args:
        threshold: a pixel is called anomalous if its map value is greater; None leaves those figures out.
    """

    full_state_update = False

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__()
        self.threshold = threshold
        for name in ("positives", "negatives"):
            self.add_state(name, torch.zeros(N_BINS, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("overlaps", torch.zeros(N_BINS, dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("n_regions", "n_slices", "hits", "false_alarms"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, anomaly_map: Tensor, mask: Tensor, within: Tensor | None = None) -> None:
        """Add slices.

        Args:
            anomaly_map: [B, 1, H, W] >= 0, higher is worse.
            mask: [B, 1, H, W] bool, lesions.
            within: [B, 1, H, W] bool, pixels that count (the lung); None counts all.

        Raises:
            DataError: sizes differ, or a map value is not finite or negative.
        """
        if anomaly_map.shape != mask.shape or (within is not None and within.shape != mask.shape):
            raise DataError(
                f"map {tuple(anomaly_map.shape)}, mask {tuple(mask.shape)} and lung mask "
                f"{None if within is None else tuple(within.shape)} differ in shape; they must be equal."
            )
        within = torch.ones_like(mask) if within is None else within
        bins = score_bins(anomaly_map)
        positive, negative = mask & within, ~mask & within
        self.positives += torch.bincount(bins[positive], minlength=N_BINS)
        self.negatives += torch.bincount(bins[negative], minlength=N_BINS)
        if bool(positive.any()):
            weights = torch.from_numpy(self._region_weights(positive)).to(bins.device)
            self.overlaps.index_add_(0, bins[positive], weights)
        self.n_slices += len(mask)
        if self.threshold is not None:
            called = anomaly_map > self.threshold
            self.hits += (called & positive).sum()
            self.false_alarms += (called & negative).sum()

    def _region_weights(self, positive: Tensor) -> np.ndarray:
        # Each connected lesion (8 neighbours) weighs 1 in total, whatever its size.
        weights = []
        for mask in positive[:, 0].cpu().numpy():
            labels, count = ndimage.label(mask, _EIGHT)
            self.n_regions += count
            found = labels[mask]
            weights.append(1.0 / np.bincount(found, minlength=1)[found])
        return np.concatenate(weights)

    def compute(self) -> dict[str, float | None]:
        """Return the figures; None where one is not defined (no lesions, or nothing else)."""
        curve = falling_curve(self.positives, self.negatives, self.overlaps, int(self.n_regions))
        dice, at = best_dice(curve)
        n_positive, n_negative = int(self.positives.sum()), int(self.negatives.sum())
        result = {
            "auroc": auroc(curve),
            "ap": average_precision(curve),
            "aupro": aupro(curve),
            "oracle_dice": dice,
            "oracle_threshold": at,
            "prevalence": n_positive / (n_positive + n_negative) if n_positive + n_negative else None,
        }
        return result | self._at_threshold(n_positive, n_negative)

    def counts(self) -> dict[str, int]:
        """Return how many slices, lesions and lesion pixels the figures rest on."""
        return {
            "n_slices": int(self.n_slices),
            "n_regions": int(self.n_regions),
            "n_lesion_pixels": int(self.positives.sum()),
        }

    def _at_threshold(self, n_positive: int, n_negative: int) -> dict[str, float | None]:
        if self.threshold is None:
            return {}
        hits, alarms = int(self.hits), int(self.false_alarms)
        return {
            "dice": 2 * hits / (n_positive + hits + alarms) if n_positive else None,
            "iou": hits / (n_positive + alarms) if n_positive else None,
            "sensitivity": hits / n_positive if n_positive else None,
            "specificity": 1 - alarms / n_negative if n_negative else None,
        }
