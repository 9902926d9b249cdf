"""What validation normals say of all processes together: each process scores its share of them."""

from typing import NamedTuple

import torch
from torch import Tensor

from anomask.metrics.pixel import PixelMetrics
from anomask.models.distributed import all_rows, all_sum


class ValidationNormals(NamedTuple):
    """Scores of all validation normals, each once."""

    scores: Tensor  # [n] slice scores, on the CPU
    pixels: Tensor  # [bins] int64, histogram of map values, see `anomask.metrics.histogram`


def of_all_processes(scores: list[Tensor], pixels: PixelMetrics) -> ValidationNormals:
    """Collect what every process scored; all of them call it, while the metric is still on their device."""
    return ValidationNormals(all_rows(torch.cat(scores)), all_sum(pixels.negatives).cpu())
