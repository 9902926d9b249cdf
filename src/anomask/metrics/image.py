"""Slice-level detection metrics; scores are ranked, so any finite scale will do."""

from collections.abc import Sequence

import numpy as np

from anomask.errors import DataError


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
    true, false = _cumulated(scores, labels, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (np.diff(false, axis=1) * (true[:, 1:] + true[:, :-1])).sum(1) / 2
        return area / (true[:, -1] * false[:, -1])


def weighted_average_precision(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the average precision under each row of weights; arguments and NaN as in `weighted_auroc`."""
    true, false = _cumulated(scores, labels, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.nan_to_num(true[:, 1:] / (true[:, 1:] + false[:, 1:]))
        value = (np.diff(true, axis=1) * precision).sum(1) / true[:, -1]
    return np.where(false[:, -1] > 0, value, np.nan)


def _cumulated(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Weight of abnormal and normal slices at or above each distinct score, highest first, from 0: [r, distinct + 1].
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    held = [np.add.reduceat(weights[:, order] * kind[order], starts, axis=1) for kind in (labels, ~labels)]
    return tuple(np.pad(values.cumsum(1), ((0, 0), (1, 0))) for values in held)


def auroc(scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    """Return the AUROC of scores [n] against labels [n]; None unless both classes are there."""
    return _single(weighted_auroc, scores, labels)


def average_precision(scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    """Return the average precision of scores [n] against labels [n]; None unless both classes are there."""
    return _single(weighted_average_precision, scores, labels)


def _single(metric, scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    scores, labels = np.asarray(scores, float), np.asarray(labels, bool)
    check_scores(scores)
    if labels.all() or not labels.any():
        return None
    return float(metric(scores, labels, np.ones((1, len(scores))))[0])


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


def within_patient_auroc(
    scores: Sequence[float], labels: Sequence[bool], patients: Sequence[str]
) -> tuple[float | None, int]:
    """Return the AUROC over pairs of an abnormal and a normal slice of one patient, and how many patients gave pairs.

    Pairs are pooled. The only slice-level figure that source and scanner cannot fake.
    """
    scores, labels, patients = np.asarray(scores, float), np.asarray(labels, bool), np.asarray(patients)
    check_scores(scores)
    won, pairs, used = 0.0, 0, 0
    for patient in sorted(set(patients) - {""}):
        sick, well = (scores[(patients == patient) & kind] for kind in (labels, ~labels))
        if len(sick) and len(well):
            difference = sick[:, None] - well
            won += float((difference > 0).sum() + 0.5 * (difference == 0).sum())
            pairs += difference.size
            used += 1
    return (won / pairs if pairs else None), used
