"""Pixel figures of one process in little memory: what an evaluation counts for dozens of maps and diseases."""

from collections.abc import Sequence

import torch
from torch import Tensor

from anomask.metrics.histogram import N_BINS, falling_curve
from anomask.metrics.pixel import PixelSample, pixel_figures

BLOCK = 4096  # bins: an octave of scores


class PixelTotals:
    """What `PixelMetrics` counts, in one process and in a quarter of its memory.

    Only those blocks of bins are held that something is in.

    Args:
        threshold: as there.
    """

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = threshold
        self.place = torch.full((-(-N_BINS // BLOCK),), -1)  # of each block in `held`
        self.held = torch.zeros(3, 0, BLOCK, dtype=torch.float64)  # positives, negatives, overlaps; exact to 2^53
        self.n_regions = self.n_slices = self.hits = self.false_alarms = 0

    def add(self, sample: PixelSample) -> None:
        """Add a sample that was made with this threshold."""
        blocks, lesion = sample.bins // BLOCK, sample.truth.lesion
        new = [block for block in blocks.unique().tolist() if self.place[block] < 0]
        if new:
            self.place[new] = torch.arange(len(new)) + self.held.shape[1]
            self.held = torch.cat([self.held, self.held.new_zeros(3, len(new), BLOCK)], dim=1)
        at = self.place[blocks] * BLOCK + sample.bins % BLOCK
        positives, negatives, overlaps = self.held.view(3, -1)
        ones = torch.ones(len(at), dtype=torch.float64)
        positives.index_add_(0, at[lesion], ones[lesion])
        negatives.index_add_(0, at[~lesion], ones[~lesion])
        overlaps.index_add_(0, at[lesion], sample.truth.weights)
        self.n_regions += sample.truth.n_regions
        self.n_slices += sample.truth.n_slices
        self.hits += sample.hits
        self.false_alarms += sample.false_alarms

    def histograms(self) -> Tensor:
        """Return positives, negatives and overlaps by bin, [3, N_BINS] float64."""
        whole = torch.zeros(3, len(self.place), BLOCK, dtype=torch.float64)
        known = self.place >= 0
        whole[:, known] = self.held[:, self.place[known]]
        return whole.view(3, -1)[:, :N_BINS]


def total_figures(parts: Sequence[PixelTotals]) -> dict[str, float | None]:
    """Return counts and figures of several totals together, see `PixelMetrics.counts` and `pixel_figures`."""
    positives, negatives, overlaps = sum(part.histograms() for part in parts)
    counts = {name: sum(getattr(part, name) for part in parts) for name in ("n_slices", "n_regions")}
    hits, false_alarms = (sum(getattr(part, name) for part in parts) for name in ("hits", "false_alarms"))
    curve = falling_curve(positives, negatives, overlaps, counts["n_regions"])
    figures = pixel_figures(curve, parts[0].threshold, hits, false_alarms)
    return {**counts, "n_lesion_pixels": int(positives.sum()), **figures}
