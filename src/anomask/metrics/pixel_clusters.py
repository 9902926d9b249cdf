"""Intervals of pixel figures: score histograms of each patient, put together again with patients drawn at random."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from anomask.errors import RunError
from anomask.metrics import curves
from anomask.metrics.bins import N_BINS
from anomask.metrics.bootstrap import (
    LEAST_EFFECTIVE,
    NUMBERS_AT_ONCE,
    Interval,
    cluster_weights,
    effective,
    percentile_interval,
)

if TYPE_CHECKING:  # tables read these files without torch
    from anomask.metrics.pixel import PixelSample

COARSER = 64  # bins of the exact figures in one bin here: 1.6 % of relative width, enough for an interval
N_COARSE = -(-N_BINS // COARSER)
FIGURES = ("auroc", "ap", "aupro")


class PixelClusters:
    """Coarse histograms by cluster (a patient, or a slice where patients are unknown).

    Args:
        unit: 'patient', 'lesion donor' or 'slice', what a cluster is.
    """

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.held: dict[str, np.ndarray] = {}  # cluster -> [4, N_COARSE]: positives, negatives, overlaps, regions

    def add(self, cluster: str, sample: "PixelSample") -> None:
        """Add a slice to its cluster."""
        held = self.held.setdefault(cluster, np.zeros((4, N_COARSE)))
        bins, lesion = (sample.bins // COARSER).cpu().numpy(), sample.truth.lesion.cpu().numpy()
        held[0] += np.bincount(bins[lesion], minlength=N_COARSE)
        held[1] += np.bincount(bins[~lesion], minlength=N_COARSE)
        held[2] += np.bincount(bins[lesion], sample.truth.weights.cpu().numpy(), minlength=N_COARSE)
        held[3, 0] += sample.truth.n_regions

    @classmethod
    def joined(cls, parts: Sequence["PixelClusters"]) -> "PixelClusters":
        """Return the clusters of several, each of its own slices; one that is in several is added up."""
        whole = cls(parts[0].unit)
        for part in parts:
            for name, held in part.held.items():
                whole.held[name] = whole.held[name] + held if name in whole.held else held
        return whole

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return each figure [r] with the clusters, in the order of their names, counted `weights` [r, n] times."""
        parts = [self._figures(rows) for rows in self._chunks(weights)]
        return {name: np.concatenate([part[name] for part in parts]) for name in FIGURES}

    @property
    def n_effective(self) -> float:
        """Clusters that would say as much if all had as many lesion pixels, see `anomask.metrics.bootstrap`."""
        return effective(np.array([held[0].sum() for held in self.held.values()]))

    def drawn(self, n_resamples: int, seed: int) -> np.ndarray | None:
        """Draw clusters at random: weights [r, n] for `figures`, or None where there are too few of them."""
        if self.n_effective < LEAST_EFFECTIVE or not n_resamples:
            return None
        return cluster_weights(len(self.held), n_resamples, np.random.default_rng(seed))

    def interval_of(self, values: np.ndarray | None) -> Interval:
        """Return the interval of resampled values [r]; not defined where there are none."""
        about = (self.unit, len(self.held), self.n_effective)
        return Interval(None, None, *about) if values is None else percentile_interval(values, *about)

    def intervals(self, n_resamples: int, seed: int) -> dict[str, Interval]:
        """Return a 95 % interval for each figure."""
        weights = self.drawn(n_resamples, seed)
        found = dict.fromkeys(FIGURES) if weights is None else self.figures(weights)
        return {name: self.interval_of(values) for name, values in found.items()}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as plain arrays, for a file."""
        names = sorted(self.held)
        held = np.stack([self.held[name] for name in names])
        return {"unit": np.array(self.unit), "clusters": np.array(names), "histograms": held.astype(np.float32)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "PixelClusters":
        """Undo `arrays`.

        Raises:
            RunError: the histograms were made with other bins.
        """
        found = cls(str(arrays["unit"]))
        if arrays["histograms"].shape[1:] != (4, N_COARSE):
            raise RunError(
                f"pixel histograms of shape {arrays['histograms'].shape}; (clusters, 4, {N_COARSE}) is wanted. They "
                "were written by another version: evaluate the run again."
            )
        found.held = dict(zip(arrays["clusters"].tolist(), arrays["histograms"].astype(float), strict=True))
        return found

    def _chunks(self, weights: np.ndarray) -> Iterator[np.ndarray]:
        rows = max(1, NUMBERS_AT_ONCE // N_COARSE)
        return (weights[start : start + rows] for start in range(0, len(weights), rows))

    def _figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        held = np.stack([self.held[name] for name in sorted(self.held)])  # [n, 4, bins]
        used = held[:, :3].any((0, 1))
        true, false, overlap = (
            (weights @ held[:, row][:, used])[:, ::-1].cumsum(1) for row in range(3)
        )  # from the highest score down
        regions = (weights @ held[:, 3, 0])[:, None]
        overlap = overlap / np.maximum(regions, 1)
        return {
            "auroc": curves.auroc(true, false),
            "ap": curves.average_precision(true, false),
            "aupro": curves.aupro(overlap, false),
        }
