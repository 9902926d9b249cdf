"""A run folder as a model of predictions."""

import logging
from typing import Any

import torch
from torch import Tensor, nn

import anomask
from anomask.batches import SliceBatch
from anomask.build import Stage, open_stage
from anomask.data.volumes.window import window_of
from anomask.errors import RunError
from anomask.prediction.model import Card, Model
from anomask.reading import read_json
from anomask.report.record.names import ANOMALY_MAP
from anomask.report.record.shapes import RECORD
from anomask.runs.folder import Run
from anomask.trained import decision

log = logging.getLogger(__name__)


class Seen(nn.Module):
    """Detection as a function of tensors alone.

    Args:
        stage: trained.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, image: Tensor, lung_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps [B, 1, S, S] and scores [B] of slices [B, 1, S, S], given the pixels that count."""
        count = image.shape[0]
        unknown = torch.zeros(count, dtype=torch.bool, device=image.device)
        index, frame = torch.arange(count, device=image.device), torch.zeros(count, 3, device=image.device)
        nothing = torch.zeros_like(lung_mask)
        found = self.stage.detect(SliceBatch(image, index, nothing, lung_mask, unknown, unknown, frame))
        return found.anomaly_map, found.score


def model_of(run: Run, checkpoint: str = "best", device: str = "cpu") -> Model:
    """Open a finished run.

    Args:
        run: its folder.
        checkpoint: `best` or `last`.
        device: such as cpu or cuda:1.

    Raises:
        RunError: it cannot be opened, or has no threshold.
    """
    stage = open_stage(run, checkpoint)
    card = card_of(run, stage, checkpoint)
    return Model(card, Seen(stage).to(device), run.prediction_folder(""), device)


def card_of(run: Run, stage: Stage, checkpoint: str) -> Card:
    """Return what a run is.

    Raises:
        RunError: it has no threshold, of slices or of pixels.
    """
    threshold, normals = decision(run, stage, checkpoint)
    if "pixel" not in threshold:
        raise RunError(
            f"{run.threshold_file} has no threshold for pixels: an old version wrote it. Train the run again."
        )
    data, known = stage.settings["data"], run.read_fingerprint() or {}
    window = prepared_window(known)
    return Card(
        name=stage.settings["name"],
        run=run.folder.name,
        checkpoint=checkpoint,
        version=anomask.__version__,
        commit=(run.read_cost() or {}).get("commit"),
        size=data["size"],
        crop=data.get("crop", "none"),  # runs of before it have none
        lung_masks=data.get("lung_masks", "estimate"),  # the phantom's settings had none once
        within_lung=stage.settings["scoring"]["within_lung"],
        window=None if window is None else list(window),
        threshold=threshold,
        normal_scores=normals,
        trained_on={"data": str(data.get("folder", "")).rstrip("/").rpartition("/")[2], "sha256": known.get("sha256")},
        figures=_figures(run),
    )


def prepared_window(fingerprint: dict[str, Any]) -> tuple[float, float] | None:
    """Return the window in HU that a run's slices were prepared with, or None where someone else made them."""
    preparation = fingerprint.get("preparation") or {}
    prepared = (preparation.get("common") or {}).get("window")
    return None if prepared is None else window_of(prepared)


def _figures(run: Run) -> list[dict[str, Any]]:
    """Return slice AUROC and pixel AP of each evaluation, all diseases together, with 95 % intervals."""
    rows = []
    for file in sorted(run.folder.glob("evaluation/[!.]*/record.json")):
        try:
            record = read_json(file, RECORD, "Evaluate the run again, or remove that folder.")
        except RunError as error:  # no detection needs it
            log.warning("the card goes without an evaluation: %s", error)
            continue
        about = {"data": record["data"], "unit": record["bootstrap"]["unit"]}
        wanted = [("slice AUROC", "auroc", row) for row in record["image"] if row["group"] == "all"]
        wanted += [
            (f"pixel AP, {row['region']}", "ap", row)
            for row in record["pixel"]
            if row["group"] == "all" and row["map"] == ANOMALY_MAP
        ]
        for figure, key, row in wanted:
            interval = (row.get("intervals") or {}).get(key) or {}
            # Records of schema 2 have intervals of two patients, too.
            ends = {end: interval.get(end) if "n_effective" in interval else None for end in ("low", "high")}
            rows.append(about | {"figure": figure, "value": row.get(key), **ends})
    return rows
