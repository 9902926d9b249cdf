"""Calibration: whether scores, read as probabilities, are as often right as they say."""

from collections.abc import Sequence

import numpy as np

BINS = 10  # of equal width from 0 to 1


class Calibration:
    """Counts for a reliability curve; scores above 1 are no probabilities, and leave its figures undefined."""

    def __init__(self) -> None:
        self.held = np.zeros((BINS, 3))  # of each bin: how many, sum of their scores, how many of them abnormal
        self.highest = 0.0

    def add(self, scores: np.ndarray, labels: np.ndarray) -> None:
        """Add scores [n] >= 0 and whether each is abnormal [n] bool."""
        if not scores.size:
            return
        self.highest = max(self.highest, float(scores.max()))
        place = (
            np.minimum((scores * BINS).astype(np.int64), BINS - 1) if self.highest <= 1 else np.zeros(len(scores), int)
        )
        weights = (None, scores, labels)
        self.held += np.stack([np.bincount(place, weight, BINS) for weight in weights], axis=1)

    def figures(self, *others: "Calibration") -> dict[str, float | list[list[float]] | None]:
        """Return the figures of this and others together.

        Returns:
            ece: expected calibration error (Naeini 2015), the mean distance of a bin's score from its share of abnormal
            ones; reliability: [n, mean score, share of abnormal ones] of each bin that is not empty. None where scores
            exceed 1 or there are none.
        """
        parts: Sequence[Calibration] = (self, *others)
        held = sum(part.held for part in parts)
        total = held[:, 0].sum()
        if not total or max(part.highest for part in parts) > 1:
            return {"ece": None, "reliability": None}
        n, scores, labels = held[held[:, 0] > 0].T
        curve = np.stack([n, scores / n, labels / n], axis=1)
        return {"ece": float(np.abs(scores - labels).sum() / total), "reliability": curve.tolist()}
