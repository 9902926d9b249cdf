"""An evaluation in Weights & Biases: the record's own numbers, curves, and the worst misses with their pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import wandb

from anomask.metrics.image import falling_weights
from anomask.report.evaluation.choice import worst
from anomask.report.pictures import Picture
from anomask.report.record.figures import Evaluation
from anomask.runs.folder import Run
from anomask.tracking.client import going_on, start
from anomask.tracking.training import wandb_note

MOST_POINTS = 500  # of a curve
FIGURES = (
    "auroc",
    "ap",
    "floor",
    "within_patient_auroc",
    "f1",
    "sensitivity",
    "specificity",
    "balanced_accuracy",
    "mcc",
)
PIXEL_FIGURES = ("auroc", "ap", "aupro", "dice", "iou", "oracle_dice")


def log_evaluation(
    record: dict[str, Any], evaluation: Evaluation, pictures: Sequence[Picture], run: Run, offline: bool, project: str
) -> None:
    """Log one evaluation as a W&B run of its own: in the group of the trained run, whose id is in its config.

    Args:
        record: the result record; its numbers are logged as they are.
        evaluation: scored slices.
        pictures: overlays; those of the worst slices go into the table.
        run: the evaluated run; its folder gets the files.
        offline: whether nothing is sent.
        project: W&B project.
    """
    name = f"{record['run']} on {record['data']}"
    config = {"settings": record["settings"], "fingerprint": record["fingerprint"], "commit": record["commit"]}
    config["training_run"] = (wandb_note(run) or {}).get("id")
    group, tags = group_of(run.read_settings()), [record["method"]["name"]]
    about = {"project": project, "name": name, "group": group, "tags": tags, "job_type": "evaluate", "config": config}
    with going_on(), start(offline, run.folder, **about) as tracked:
        tracked.summary.update(numbers(record))
        tracked.log({"roc": _curve(evaluation, _roc, "false-positive rate", "sensitivity")})
        tracked.log({"precision_recall": _curve(evaluation, _precision_recall, "recall", "precision")})
        tracked.log({"worst_slices": _worst_slices(evaluation, pictures)})


def group_of(settings: dict[str, Any]) -> str:
    """Return the W&B group of a trained run: as it was logged, otherwise its sweep or its name."""
    return settings.get("logger", {}).get("group") or settings.get("sweep") or settings["name"]


def numbers(record: dict[str, Any]) -> dict[str, float]:
    """Return the record's figures under flat names; undefined ones are left out."""
    named = {f"image/{row['group']}/{name}": row[name] for row in record["image"] for name in FIGURES}
    for row in record["pixel"]:
        place = f"pixel/{row['group']}/{row['region']}/{row['map']}".replace(" ", "_")
        named |= {f"{place}/{name}": row.get(name) for name in PIXEL_FIGURES}
    for row in record["lesions"]:
        named[f"lesions/{row['group']}/{row['region']}/froc_mean"] = row["all_mean"]
    return {name: value for name, value in named.items() if value is not None}


def _curve(evaluation: Evaluation, points_of, across: str, up: str) -> Any:
    rows = []
    for disease in ["all", *sorted({s.disease for s in evaluation.slices} - {""})]:
        kept = [s for s in evaluation.slices if disease in ("all", s.disease) or not s.disease]
        scores, labels = np.array([s.score for s in kept]), np.array([bool(s.disease) for s in kept])
        if labels.all() or not labels.any():
            continue
        true, false = (values[0] for values in falling_weights(scores, labels, np.ones((1, len(kept)))))
        picked = np.unique(np.linspace(0, len(true) - 1, MOST_POINTS).round().astype(int))
        rows += [[disease, float(x), float(y)] for x, y in zip(*points_of(true[picked], false[picked]), strict=True)]
    table = wandb.Table(columns=["disease", across, up], data=rows)
    return wandb.plot.line(table, across, up, stroke="disease", title=f"{up} against {across}")


def _roc(true: np.ndarray, false: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return false / false[-1], true / true[-1]


def _precision_recall(true: np.ndarray, false: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return true / true[-1], true / (true + false)


def _worst_slices(evaluation: Evaluation, pictures: Sequence[Picture]) -> wandb.Table:
    drawn = {picture.slice_name: wandb.Image(picture.pixels) for picture in pictures}
    slices = {s.name: s for s in evaluation.slices}
    rows = [
        [name, slices[name].patient, slices[name].disease or "normal", slices[name].score, why, drawn.get(name)]
        for name, why in worst(evaluation.slices, max(1, len(pictures) // 4)).items()
    ]
    return wandb.Table(columns=["slice", "patient", "disease", "score", "why", "picture"], data=rows)
