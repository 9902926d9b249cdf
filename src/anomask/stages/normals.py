"""What validation normals say of a trained detector: each process scores its share of them, all of them get all."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import torch
from pytorch_lightning.utilities import move_data_to_device
from torch import Tensor

from anomask.batches import Detection, SliceBatch
from anomask.data.loading.frame import in_slice
from anomask.metrics.pixel import PixelMetrics
from anomask.models.distributed import all_rows, all_sum
from anomask.scoring.scorer import Scorer


class ValidationNormals(NamedTuple):
    """Scores of all validation normals, each once."""

    scores: Tensor  # [n] slice scores, on the CPU
    pixels: Tensor  # [bins] int64, histogram of map values, see `anomask.metrics.histogram`


class Detects(Protocol):
    """A stage that detects: the detector, or a comparison method."""

    scorer: Scorer
    device: torch.device

    def detect(self, batch: SliceBatch) -> Detection:
        """Detect anomalies in slices."""


def score_normals(stage: Detects, batches: Iterable[SliceBatch]) -> ValidationNormals:
    """Score validation normals with the function that scores every other slice, in the same arithmetic.

    A threshold from a training's own validation would be fixed on scores in the training's precision.

    Args:
        stage: as it is opened for evaluation and prediction.
        batches: this process's share of the validation normals.
    """
    scores, pixels = [], PixelMetrics().to(stage.device)
    for batch in batches:
        here = move_data_to_device(batch, stage.device)
        found = stage.detect(here)
        scores.append(found.score)
        count_pixels(pixels, stage.scorer, here, found)
    return ValidationNormals(all_rows(torch.cat(scores)), all_sum(pixels.negatives).cpu())


def count_pixels(pixels: PixelMetrics, scorer: Scorer, batch: SliceBatch, detection: Detection) -> None:
    """Add the maps of normal slices to a histogram, in the geometry of the whole slice as figures are."""
    found = in_slice(detection.anomaly_map, batch.frame)
    lung = in_slice(batch.lung_mask.float(), batch.frame) >= 0.5
    pixels.update(found, torch.zeros_like(lung), scorer.counted(lung))
