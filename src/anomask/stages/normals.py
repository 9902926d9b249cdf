"""What validation normals say of all processes together: each process scores its share of them."""

from typing import NamedTuple

import torch
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


def count_pixels(pixels: PixelMetrics, scorer: Scorer, batch: SliceBatch, detection: Detection) -> None:
    """Add the maps of validation normals to a histogram, in the geometry of the whole slice as figures are."""
    found = in_slice(detection.anomaly_map, batch.frame)
    lung = in_slice(batch.lung_mask.float(), batch.frame) >= 0.5
    pixels.update(found, torch.zeros_like(lung), scorer.counted(lung))


def of_all_processes(scores: list[Tensor], pixels: PixelMetrics) -> ValidationNormals:
    """Collect what every process scored; all of them call it, while the metric is still on their device."""
    return ValidationNormals(all_rows(torch.cat(scores)), all_sum(pixels.negatives).cpu())
