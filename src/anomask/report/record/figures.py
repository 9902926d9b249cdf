"""The result record: every figure of one evaluation with its n, interval and floor, as plain values."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from anomask.metrics.bootstrap import cluster_names, clusters_of, interval
from anomask.metrics.calibration import Calibration
from anomask.metrics.image import (
    WithinPatient,
    auroc,
    average_precision,
    sensitivity_at,
    threshold_metrics,
    weighted_auroc,
    weighted_average_precision,
    weighted_rates,
)
from anomask.metrics.trivial import FEATURES, nearest_normal_distance
from anomask.report.record.localisation import PixelTally
from anomask.report.record.shapes import SCHEMA
from anomask.report.text import RESEARCH_USE

TOP_SHARE = 0.1  # of a patient's slices, whose mean is the patient's second score


class ScoredSlice(NamedTuple):
    """One slice after evaluation."""

    name: str
    patient: str
    disease: str  # '' for normal slices
    score: float
    features: tuple[float, ...]  # trivial features, in the order of `FEATURES`
    lesion_donor: str = ""  # of a transplant and its host


class Evaluation(NamedTuple):
    """What an evaluation counted, before it is summarised."""

    slices: list[ScoredSlice]
    normal_features: np.ndarray  # [m, 3] trivial features of the training normals
    pixels: PixelTally
    threshold: dict[str, Any]


def image_rows(evaluation: Evaluation, n_resamples: int, seed: int) -> list[dict[str, Any]]:
    """Summarise detection: all diseases together, then each against all test normals."""
    diseases = sorted({scored.disease for scored in evaluation.slices} - {""})
    groups = [("all", diseases), *((disease, [disease]) for disease in diseases)]
    return [
        _image_row(group, [s for s in evaluation.slices if s.disease in ("", *members)], evaluation, n_resamples, seed)
        for group, members in groups
    ]


def _image_row(
    group: str, slices: Sequence[ScoredSlice], evaluation: Evaluation, n_resamples: int, seed: int
) -> dict[str, Any]:
    scores, labels = np.array([s.score for s in slices]), np.array([bool(s.disease) for s in slices])
    patients = [s.patient for s in slices]
    area = auroc(scores, labels)
    row: dict[str, Any] = {
        "group": group,
        "n_abnormal": int(labels.sum()),
        "n_normal": int((~labels).sum()),
        "n_patients": len(set(patients) - {""}),
        "auroc": area,
        "ap": average_precision(scores, labels),
        **threshold_metrics(scores, labels, evaluation.threshold["threshold"]),
    }
    row |= {f"sensitivity_at_{share}": sensitivity_at(scores, labels, share / 100) for share in (90, 95)}
    calibration = Calibration()
    calibration.add(scores, labels)
    row |= calibration.figures()
    row["host_wins"], row["host_wins_n"] = host_wins(slices)
    within = WithinPatient(scores, labels, patients)
    row["within_patient_auroc"], row["within_patient_n"] = within.auroc(), len(within.patients)
    row["intervals"] = _intervals(scores, labels, slices, evaluation.threshold["threshold"], within, n_resamples, seed)
    trivial = _trivial_scores(slices, evaluation.normal_features)
    row["floors"] = {name: auroc(values, labels) for name, values in trivial.items()}
    row["floor"] = _highest(row["floors"])
    row["within_patient_floors"] = {
        name: WithinPatient(values, labels, patients).auroc() for name, values in trivial.items()
    }
    row["within_patient_floor"] = _highest(row["within_patient_floors"])
    row["beats_floor"] = None if area is None or row["floor"] is None else area > row["floor"]
    return row


def host_wins(slices: Sequence[ScoredSlice]) -> tuple[float | None, int]:
    """Return the share of transplants that score above their own host, ties counted half, and how many have one.

    A transplant has the file name of its host among the normal slices. None where there are none.
    """
    hosts = {Path(s.name).name: s.score for s in slices if not s.disease}
    pairs = [
        (s.score, hosts[Path(s.name).name])
        for s in slices
        if s.disease and s.lesion_donor and Path(s.name).name in hosts
    ]
    wins = [1.0 if one > other else 0.5 * (one == other) for one, other in pairs]
    return (sum(wins) / len(wins) if wins else None), len(wins)


def _intervals(
    scores: np.ndarray,
    labels: np.ndarray,
    slices: Sequence[ScoredSlice],
    threshold: float,
    within: WithinPatient,
    n_resamples: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    clusters, unit = cluster_names([s.patient for s in slices], [s.lesion_donor for s in slices])
    called = scores > threshold
    metrics = {
        "auroc": partial(weighted_auroc, scores, labels),
        "ap": partial(weighted_average_precision, scores, labels),
        "sensitivity": lambda weights: weighted_rates(called, labels, weights)[0],
        "specificity": lambda weights: weighted_rates(called, labels, weights)[1],
    }
    kinds = {"sensitivity": [labels], "specificity": [~labels]}  # the others need both
    found = {
        # One seed for all: every figure is resampled alike.
        name: interval(
            metric, clusters, n_resamples, np.random.default_rng(seed), unit, kinds.get(name, [labels, ~labels])
        )
        for name, metric in metrics.items()
    }
    found["within_patient_auroc"] = interval(
        within.weighted,
        within.patients,
        n_resamples,
        np.random.default_rng(seed),
        kinds=[np.array(within.pairs, float)],
    )
    return {name: value._asdict() for name, value in found.items()}


def _trivial_scores(slices: Sequence[ScoredSlice], normals: np.ndarray) -> dict[str, np.ndarray]:
    features = np.array([s.features for s in slices])
    scores = {name: features[:, column] for column, name in enumerate(FEATURES)}
    return scores | {"nearest_normal": nearest_normal_distance(features, normals)}


def _highest(floors: dict[str, float | None]) -> float | None:
    # A feature far below 0.5 is as much of a shortcut as one far above.
    return max((max(value, 1 - value) for value in floors.values() if value is not None), default=None)


def patient_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Summarise each known patient: its slices, two scores, the share called abnormal, and the AUROC inside it."""
    rows = []
    for patient in sorted({s.patient for s in evaluation.slices} - {""}):
        own = [s for s in evaluation.slices if s.patient == patient]
        scores = np.array([s.score for s in own])
        rows.append(
            {
                "patient": patient,
                "diseases": sorted({s.disease for s in own} - {""}),
                "n_abnormal": sum(bool(s.disease) for s in own),
                "n_normal": sum(not s.disease for s in own),
                "highest_score": float(scores.max()),
                "top_score": float(np.sort(scores)[::-1][: max(1, round(TOP_SHARE * len(scores)))].mean()),
                "called_abnormal": float((scores > evaluation.threshold["threshold"]).mean()),
                "auroc": auroc(scores, [bool(s.disease) for s in own]),
            }
        )
    return rows


def patient_level(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Detection of patients instead of slices: AUROC of each patient's highest score and of its top tenth's mean."""
    labels = [row["n_abnormal"] > 0 for row in rows]
    return {
        "n_abnormal": sum(labels),
        "n_normal": len(labels) - sum(labels),
        "auroc_highest": auroc([row["highest_score"] for row in rows], labels),
        "auroc_top": auroc([row["top_score"] for row in rows], labels),
    }


def build_record(evaluation: Evaluation, about: dict[str, Any], n_resamples: int, seed: int) -> dict[str, Any]:
    """Put everything together; the same evaluation gives the same bytes.

    Args:
        evaluation: scored slices and pixel figures.
        about: what identifies the run and the data: run, settings, seed, data, fingerprint, synthetic, commit.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    patients = patient_rows(evaluation)
    slices = evaluation.slices
    unit = clusters_of(*cluster_names([s.patient for s in slices], [s.lesion_donor for s in slices]))[1]
    return {
        "schema": SCHEMA,
        "note": RESEARCH_USE,
        **about,
        "bootstrap": {"resamples": n_resamples, "seed": seed, "unit": unit},
        "threshold": evaluation.threshold,
        "image": image_rows(evaluation, n_resamples, seed),
        "pixel": evaluation.pixels.pixel_rows(n_resamples, seed),
        "lesions": evaluation.pixels.lesion_rows(),
        "patients": patients,
        "patient_level": patient_level(patients),
    }
