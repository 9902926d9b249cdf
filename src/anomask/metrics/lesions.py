"""Lesion-level detection: which lesions the peaks of a map hit, at how many false alarms a slice (FROC)."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torchmetrics import Metric

from anomask.metrics.histogram import add_histogram, check_range, falling_curve, score_bins

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # false positives a slice, as in the LUNA16 challenge
STRATA = {"small": 0.05, "medium": 0.15, "large": float("inf")}  # equivalent diameter below this share of the side
APART = 0.04  # peaks nearer to a higher one than this share of the side are not candidates of their own

_EIGHT = np.ones((3, 3))


def peaks(anomaly_map: np.ndarray, radius: int) -> np.ndarray:
    """Mark the highest pixels within `radius` of themselves, zeros left out: [H, W] -> bool of that shape."""
    highest = ndimage.maximum_filter(anomaly_map, 2 * radius + 1, mode="constant")
    return (anomaly_map == highest) & (anomaly_map > 0)


class LesionMetrics(Metric):
    """FROC from candidates: the map's local maxima, each with its height as score.

    A candidate is a peak, or a plateau of equal neighbours. A candidate of which at least half lies
    inside lesions (8-connected regions of the mask) hits those that it touches, which score as their highest one; any
    other candidate is a false positive. So a constant map, whose one plateau touches every lesion, hits none unless
    lesions fill half of it.
    Sums over slices and processes; its size does not depend on their number.
    """

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        for name in STRATA:
            add_histogram(self, f"hit_{name}", torch.int64)
            self.add_state(f"n_{name}", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        add_histogram(self, "alarms", torch.int64)
        self.add_state("n_slices", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, anomaly_map: Tensor, mask: Tensor, within: Tensor | None = None) -> None:
        """Add slices.

        Args:
            anomaly_map: [B, 1, H, W] >= 0, higher is worse.
            mask: [B, 1, H, W] bool, lesions; all false for a normal slice.
            within: [B, 1, H, W] bool, pixels that count (the lung); None counts all.
        """
        if within is not None:
            anomaly_map, mask = anomaly_map * within, mask & within
        side = mask.shape[-1]
        radius = max(1, round(APART * side))
        check_range(anomaly_map)
        for values, lesions in zip(anomaly_map[:, 0].cpu(), mask[:, 0].cpu().numpy(), strict=True):
            peak = peaks(values.numpy(), radius)
            self._add(score_bins(values[torch.from_numpy(peak)]).numpy(), peak, lesions, side)
        self.n_slices += len(mask)

    def _add(self, bins: np.ndarray, peak: np.ndarray, mask: np.ndarray, side: int) -> None:
        # Bins of the peaks alone, in row-major order.
        plateaus, n_plateaus = ndimage.label(peak, _EIGHT)  # equal neighbours are one candidate
        plateau = plateaus[peak]
        height = np.zeros(n_plateaus + 1, np.int64)
        height[plateau] = bins
        lesions, n_lesions = ndimage.label(mask, _EIGHT)
        pairs, shared = np.unique(np.stack([plateau, lesions[peak]]), axis=1, return_counts=True)
        sizes, within = (
            np.bincount(pairs[0], weights, n_plateaus + 1) for weights in (shared, shared * (pairs[1] > 0))
        )
        found = (pairs[1] > 0) & (2 * within >= sizes)[pairs[0]]
        inside = np.zeros(n_plateaus + 1, bool)
        inside[pairs[0][found]] = True
        self._count("alarms", height[1:][~inside[1:]])
        if not n_lesions:
            return
        best = np.full(n_lesions + 1, -1)
        np.maximum.at(best, pairs[1][found], height[pairs[0][found]])
        diameter = 2 * np.sqrt(np.bincount(lesions.ravel())[1:] / np.pi) / side
        stratum = np.searchsorted(list(STRATA.values()), diameter, side="right")
        for index, name in enumerate(STRATA):
            scores = best[1:][stratum == index]
            getattr(self, f"n_{name}").add_(len(scores))
            self._count(f"hit_{name}", scores[scores >= 0])

    def _count(self, name: str, bins: np.ndarray) -> None:
        counts = getattr(self, name)
        counts.index_add_(0, torch.from_numpy(bins).to(counts.device), torch.ones(len(bins)).to(counts))

    def compute(self) -> dict[str, float | int | None]:
        """Return sensitivities at `RATES` and their mean, for all lesions and by size; None without such lesions.

        A sensitivity is that of the lowest threshold with at most that many false positives a slice.
        """
        hits = torch.stack([getattr(self, f"hit_{name}") for name in STRATA])
        counts = {name: int(getattr(self, f"n_{name}")) for name in STRATA}
        groups = {"all": hits.sum(0)} | dict(zip(STRATA, hits, strict=True))
        counts = {"all": sum(counts.values())} | counts
        result: dict[str, float | int | None] = {"n_slices": int(self.n_slices)}
        for name, hit in groups.items():
            result[f"n_{name}"] = counts[name]
            found = self._sensitivities(hit, counts[name])
            for rate, value in zip(RATES, found, strict=True):
                result[f"{name}_at_{rate:g}"] = value
            result[f"{name}_mean"] = None if None in found else sum(found) / len(found)
        return result

    def _sensitivities(self, hit: Tensor, n_lesions: int) -> list[float | None]:
        n_slices = int(self.n_slices)
        if not n_lesions or not n_slices:
            return [None] * len(RATES)
        curve = falling_curve(hit, self.alarms, None, 0)
        true = np.concatenate([[0.0], curve.true])
        allowed = np.searchsorted(curve.false / n_slices, RATES, side="right")
        return [float(true[index] / n_lesions) for index in allowed]
