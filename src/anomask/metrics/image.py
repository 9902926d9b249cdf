"""Slice-level detection metrics; scores are ranked, so any finite scale will do."""

from collections.abc import Sequence

import numpy as np

from anomask.errors import DataError
from anomask.metrics import curves


def check_scores(scores: np.ndarray) -> None:
    """Raise a DataError unless every score is finite."""
    if not np.isfinite(scores).all():
        raise DataError(
            f"{int((~np.isfinite(scores)).sum())} slice scores are NaN or infinite; finite scores are wanted."
        )


def weighted_auroc(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the AUROC under each row of weights, ties counted half.

    Args:
        scores: [n]
        labels: [n] bool, true = abnormal.
        weights: [r, n] >= 0, how often each slice counts.

    Returns:
        [r]; NaN where a row leaves out one class
    """
    return curves.auroc(*falling_weights(scores, labels, weights))


def weighted_average_precision(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the average precision under each row of weights; arguments and NaN as in `weighted_auroc`."""
    return curves.average_precision(*falling_weights(scores, labels, weights))


def falling_weights(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of abnormal and of normal slices at or above each distinct score, highest first: [r, m]."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    return tuple(
        np.add.reduceat(weights[:, order] * kind[order], starts, axis=1).cumsum(1) for kind in (labels, ~labels)
    )


def auroc(scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    """Return the AUROC of scores [n] against labels [n]; None unless both classes are there."""
    return _single(weighted_auroc, scores, labels)


def average_precision(scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    """Return the average precision of scores [n] against labels [n]; None unless both classes are there."""
    return _single(weighted_average_precision, scores, labels)


def _single(metric, scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    scores, labels = np.asarray(scores, float), np.asarray(labels, bool)
    check_scores(scores)
    return curves.defined(metric(scores, labels, np.ones((1, len(scores))))[0]) if len(scores) else None


def sensitivity_at(scores: Sequence[float], labels: Sequence[bool], specificity: float) -> float | None:
    """Return the highest sensitivity at that specificity or a higher one, a point of the ROC curve of these slices.

    Unlike a threshold fixed beforehand it is chosen on the test set; None unless both classes are there.
    """
    scores, labels = np.asarray(scores, float), np.asarray(labels, bool)
    if not labels.any() or labels.all():
        return None
    check_scores(scores)
    true, false = (counts[0] for counts in falling_weights(scores, labels, np.ones((1, len(scores)))))
    allowed = true[false <= (1 - specificity) * false[-1] + 1e-9]
    return float(allowed[-1] / true[-1]) if len(allowed) else 0.0


def threshold_metrics(scores: Sequence[float], labels: Sequence[bool], threshold: float) -> dict[str, float | None]:
    """Return the figures at a threshold fixed beforehand; a slice is called abnormal if its score is greater.

    Returns:
        f1, sensitivity, specificity, accuracy, balanced_accuracy, mcc; None where one is not defined.
    """
    called, labels = np.asarray(scores, float) > threshold, np.asarray(labels, bool)
    hit, miss = int((called & labels).sum()), int((~called & labels).sum())
    alarm, quiet = int((called & ~labels).sum()), int((~called & ~labels).sum())
    sensitivity, specificity = _ratio(hit, hit + miss), _ratio(quiet, quiet + alarm)
    both = None not in (sensitivity, specificity)
    product = float(hit + alarm) * (hit + miss) * (quiet + alarm) * (quiet + miss)
    return {
        "f1": _ratio(2 * hit, 2 * hit + alarm + miss) if hit + miss else None,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "accuracy": _ratio(hit + quiet, len(labels)),
        "balanced_accuracy": (sensitivity + specificity) / 2 if both else None,
        "mcc": (hit * quiet - alarm * miss) / product**0.5 if product else None,
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def weighted_rates(called: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sensitivity and specificity under each row of weights.

    Args:
        called: [n] bool, called abnormal.
        labels: [n] bool, true = abnormal.
        weights: [r, n] >= 0

    Returns:
        two arrays [r]; NaN where a row leaves out the class
    """
    with np.errstate(invalid="ignore"):
        sensitivity = (weights @ (called & labels)) / (weights @ labels)
        return sensitivity, (weights @ (~called & ~labels)) / (weights @ ~labels)


class WithinPatient:
    """AUROC over pairs of an abnormal and a normal slice of one patient, pooled.

    The only slice-level figure that source and scanner cannot fake.

    Args:
        scores: [n]
        labels: [n], true = abnormal.
        patients: [n], '' where unknown.

    The attribute `patients` names those that have both kinds of slices.
    """

    def __init__(self, scores: Sequence[float], labels: Sequence[bool], patients: Sequence[str]) -> None:
        scores, labels, patients = np.asarray(scores, float), np.asarray(labels, bool), np.asarray(patients)
        check_scores(scores)
        self.patients, self.won, self.pairs = [], [], []
        for patient in sorted(set(patients) - {""}):
            sick, well = (np.flatnonzero((patients == patient) & kind) for kind in (labels, ~labels))
            if len(sick) and len(well):
                difference = scores[sick][:, None] - scores[well]
                self.won.append(float((difference > 0).sum() + 0.5 * (difference == 0).sum()))
                self.pairs.append(difference.size)
                self.patients.append(patient)

    def auroc(self) -> float | None:
        """Return the figure; None where no patient has both kinds of slices."""
        return sum(self.won) / sum(self.pairs) if self.pairs else None

    def weighted(self, weights: np.ndarray) -> np.ndarray:
        """Return the figure under each row of weights [r, n], one for each of `patients`: [r]."""
        with np.errstate(invalid="ignore"):
            return (weights @ np.asarray(self.won)) / (weights @ np.asarray(self.pairs))
