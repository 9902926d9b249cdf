"""Pixel-level localisation metrics from one histogram state."""

from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torchmetrics import Metric

from anomask.errors import DataError
from anomask.metrics import curves
from anomask.metrics.histogram import Curve, accumulate, add_histogram, best_dice, falling_curve, score_bins

_EIGHT = np.ones((3, 3))


class PixelTruth(NamedTuple):
    """The pixels of some slices that count, and which of them are lesions; shared by all maps of these slices."""

    shape: torch.Size  # [B, 1, H, W]
    within: Tensor | None  # bool of that shape; None counts all
    lesion: Tensor  # [n] bool, one for each pixel that counts
    weights: Tensor  # [lesion pixels] float64, so that each lesion weighs 1
    n_regions: int
    n_slices: int


class PixelSample(NamedTuple):
    """One map of some slices, by score bin."""

    bins: Tensor  # [n] int64, one for each pixel that counts
    truth: PixelTruth
    hits: int  # lesion pixels above the threshold; 0 without one
    false_alarms: int


def pixel_truth(mask: Tensor, within: Tensor | None = None) -> PixelTruth:
    """Prepare slices.

    Args:
        mask: [B, 1, H, W] bool, lesions.
        within: [B, 1, H, W] bool, pixels that count (the lung); None counts all.

    Raises:
        DataError: sizes differ.
    """
    if within is None:
        return PixelTruth(mask.shape, None, mask.flatten(), *region_weights(mask), len(mask))
    if within.shape != mask.shape:
        raise DataError(
            f"mask {tuple(mask.shape)} and lung mask {tuple(within.shape)} differ in shape; they must be equal."
        )
    return PixelTruth(mask.shape, within, mask[within], *region_weights(mask & within), len(mask))


def pixel_sample(anomaly_map: Tensor, truth: PixelTruth, threshold: float | None = None) -> PixelSample:
    """Look up the bins of a map.

    Args:
        anomaly_map: [B, 1, H, W] >= 0, higher is worse.
        truth: of the same slices.
        threshold: a pixel is called anomalous if its map value is greater.

    Raises:
        DataError: sizes differ, or a map value is not finite or negative.
    """
    if anomaly_map.shape != truth.shape:
        raise DataError(
            f"map {tuple(anomaly_map.shape)} and mask {tuple(truth.shape)} differ in shape; they must be equal."
        )
    values = anomaly_map.flatten() if truth.within is None else anomaly_map[truth.within]
    hits = false_alarms = 0
    if threshold is not None:
        called = values > threshold
        hits = int((called & truth.lesion).sum())
        false_alarms = int(called.sum()) - hits
    return PixelSample(score_bins(values), truth, hits, false_alarms)


def region_weights(positive: Tensor) -> tuple[Tensor, int]:
    """Weigh lesion pixels so that each connected lesion (8 neighbours) weighs 1 in total, whatever its size.

    Args:
        positive: [B, 1, H, W] bool

    Returns:
        one weight a true pixel, in their order, float64; the number of lesions
    """
    weights, total = [np.zeros(0)], 0
    for mask in positive[:, 0].cpu().numpy():
        if not mask.any():
            continue
        labels, count = ndimage.label(mask, _EIGHT)
        found = labels[mask]
        weights.append(1.0 / np.bincount(found, minlength=1)[found])
        total += count
    return torch.from_numpy(np.concatenate(weights)).to(positive.device), total


def pixel_figures(curve: Curve, threshold: float | None, hits: int, false_alarms: int) -> dict[str, float | None]:
    """Return all figures of a falling curve; None where one is not defined (no lesions, or nothing else).

    auroc, ap, aupro (to a false-positive rate of 0.3), aupro_005 (to 0.05), oracle_dice and oracle_threshold,
    prevalence; with a threshold also dice, iou, sensitivity, specificity.
    """
    areas = dict.fromkeys(("auroc", "ap", "aupro", "aupro_005"))
    n_positive = n_negative = 0
    if len(curve.true):
        n_positive, n_negative = int(curve.true[-1]), int(curve.false[-1])
        areas["auroc"] = curves.defined(curves.auroc(curve.true, curve.false))
        areas["ap"] = curves.defined(curves.average_precision(curve.true, curve.false))
        areas["aupro"] = curves.defined(curves.aupro(curve.overlap, curve.false))
        areas["aupro_005"] = curves.defined(curves.aupro(curve.overlap, curve.false, 0.05))
    dice, at = best_dice(curve)
    prevalence = n_positive / (n_positive + n_negative) if n_positive + n_negative else None
    result = areas | {"oracle_dice": dice, "oracle_threshold": at, "prevalence": prevalence}
    if threshold is None:
        return result
    return result | {
        "dice": 2 * hits / (n_positive + hits + false_alarms) if n_positive else None,
        "iou": hits / (n_positive + false_alarms) if n_positive else None,
        "sensitivity": hits / n_positive if n_positive else None,
        "specificity": 1 - false_alarms / n_negative if n_negative else None,
    }


def sample_figures(sample: PixelSample, threshold: float | None = None) -> dict[str, float | None]:
    """Return the figures of one sample alone, see `pixel_figures`."""
    bins, place = torch.unique(sample.bins, return_inverse=True)
    lesion, weights, n_regions = sample.truth[2:5]
    counts = (torch.bincount(place[kind], minlength=len(bins)) for kind in (lesion, ~lesion))
    overlaps = torch.bincount(place[lesion], weights, minlength=len(bins))
    curve = accumulate(bins, *counts, overlaps, n_regions)
    return pixel_figures(curve, threshold, sample.hits, sample.false_alarms)


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
            add_histogram(self, name, torch.int64)
        add_histogram(self, "overlaps", torch.float64)
        for name in ("n_regions", "n_slices", "hits", "false_alarms"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, anomaly_map: Tensor, mask: Tensor, within: Tensor | None = None) -> None:
        """Add slices; arguments and errors as in `pixel_truth` and `pixel_sample`."""
        self.add(pixel_sample(anomaly_map, pixel_truth(mask, within), self.threshold))

    def add(self, sample: PixelSample) -> None:
        """Add a sample that was made with this metric's threshold."""
        lesion, weights = sample.truth.lesion, sample.truth.weights
        found = sample.bins[lesion]
        self.positives.index_add_(0, found, torch.ones_like(found))
        # All pixels, less the few lesion ones: cheaper than picking out the others.
        self.negatives.index_add_(0, sample.bins, torch.ones_like(sample.bins))
        self.negatives.index_add_(0, found, -torch.ones_like(found))
        self.overlaps.index_add_(0, found, weights)
        self.n_regions += sample.truth.n_regions
        self.n_slices += sample.truth.n_slices
        self.hits += sample.hits
        self.false_alarms += sample.false_alarms

    def compute(self) -> dict[str, float | None]:
        """Return the figures, see `pixel_figures`."""
        curve = falling_curve(self.positives, self.negatives, self.overlaps, int(self.n_regions))
        return pixel_figures(curve, self.threshold, int(self.hits), int(self.false_alarms))

    def counts(self) -> dict[str, int]:
        """Return how many slices, lesions and lesion pixels the figures rest on."""
        return {
            "n_slices": int(self.n_slices),
            "n_regions": int(self.n_regions),
            "n_lesion_pixels": int(self.positives.sum()),
        }
