"""The slices of a run seen twice: whole, as figures and pictures show them, and as its detector sees them."""

from typing import Any, NamedTuple

import torch
from pytorch_lightning.utilities import move_data_to_device
from torch import Tensor

from anomask.batches import SliceBatch
from anomask.build import Stage, build_data
from anomask.data.loading.datamodule import SliceDataModule
from anomask.data.loading.frame import in_slice
from anomask.report.record.names import ANOMALY_MAP


class Slices(NamedTuple):
    """The same slices twice: whole, as figures and pictures show them, and as the detector sees them (`data.crop`)."""

    whole: SliceDataModule
    seen: SliceDataModule


def open_slices(settings: dict[str, Any], folder: str | None, **changes: Any) -> Slices:
    """Open the data that a run is evaluated on; where nothing is cropped, both are one."""
    seen = build_data(settings, folder=folder, **changes)
    whole = seen if seen.crop == "none" else build_data(settings, folder=folder, **changes, crop="none")
    for data in dict.fromkeys((whole, seen)):
        data.prepare_data()
        data.setup("test")
    return Slices(whole, seen)


def detect(stage: Stage, batch: SliceBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Detect slices as the detector sees them; everything comes back on the CPU.

    Returns:
        scores [B], and maps, name -> [B, 1, S, S], in the geometry of the whole slices
    """
    found = move_data_to_device(stage.detect(move_data_to_device(batch, stage.device)), torch.device("cpu"))
    maps = {ANOMALY_MAP: found.anomaly_map} | stage.factors(batch.image, found)
    return found.score, {name: in_slice(values, batch.frame) for name, values in maps.items()}
