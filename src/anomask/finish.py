"""What follows the gradient steps: a look at all training normals, the decision threshold, and the bill."""

import resource
import time
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from anomask.report.threshold import thresholds
from anomask.runs import Run
from anomask.stages.baseline import BaselineStage
from anomask.stages.codebook import CodebookStage
from anomask.stages.detector import DetectorStage
from anomask.types import SliceBatch

TIMED = 16  # slices in the batch whose detection is timed


class Images:
    """The slices of a set, batches [B, 1, S, S] on a device; may be gone through several times."""

    def __init__(self, data: pl.LightningDataModule, rows: Any, device: torch.device) -> None:
        self.data, self.rows, self.device = data, rows, device

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the batches in order."""
        for batch in self.data.ordered_loader(self.rows):
            yield batch.image.to(self.device)


def fit_normals(stage: BaselineStage, data: pl.LightningDataModule, trainer: pl.Trainer, run: Run) -> None:
    """Let a comparison method look at all training normals, and write what it has become as the best checkpoint."""
    if stage.method.learns:
        stage.load_state_dict(run.load_checkpoint("best")["state_dict"])
    device = trainer.strategy.root_device
    stage.to(device)
    stage.fit_normals(Images(data, data.train_set, device))
    stage.calibrate(Images(data, data.validation_set, device))
    if trainer.is_global_zero:
        state = {name: value.cpu() for name, value in stage.state_dict().items()}
        run.write_checkpoint("best", {"settings": stage.settings, "state_dict": state})
    trainer.strategy.barrier()  # nobody reads what is not written


def write_threshold(
    stage: DetectorStage | BaselineStage, data: pl.LightningDataModule, trainer: pl.Trainer, run: Run
) -> None:
    """Score the validation normals with the best checkpoint and fix the decision threshold on them."""
    stage.load_state_dict(run.load_checkpoint("best")["state_dict"])
    trainer.validate(stage, datamodule=data, verbose=False)
    if trainer.is_global_zero:
        scores, scoring = stage.normals.scores.tolist(), stage.settings["scoring"]
        run.write_normal_scores(scores)
        pixels = stage.normals.pixels
        run.write_threshold(thresholds(scores, scoring["specificity"], pixels, scoring["pixel_specificity"]))


def cost(
    stage: CodebookStage | DetectorStage | BaselineStage, data: pl.LightningDataModule, trainer: pl.Trainer
) -> dict[str, Any]:
    """Return what a run took beside its seconds: steps, slices seen, size, memory and the time of one detection."""
    bill = {
        "steps": trainer.global_step,
        "slices_seen": trainer.global_step * stage.settings["data"]["batch_size"],
        "devices": f"{trainer.num_nodes} x {trainer.num_devices} {trainer.strategy.root_device.type}",
        "cpu_threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in stage.parameters()),
        "trained_parameters": sum(p.numel() for p in stage.parameters() if p.requires_grad),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    if not isinstance(stage, CodebookStage):
        bill["detect_ms_per_slice"] = round(_detection_ms(stage, data, trainer), 3)
    return bill


def _detection_ms(stage: DetectorStage | BaselineStage, data: pl.LightningDataModule, trainer: pl.Trainer) -> float:
    device = trainer.strategy.root_device
    rows = [data.validation_set[row % len(data.validation_set)] for row in range(TIMED)]
    batch = SliceBatch(*(torch.stack(parts).to(device) for parts in zip(*rows, strict=True)))
    stage.to(device).eval()
    seconds = []
    for _ in range(4):  # the first one warms up; the best of the rest says least about the machine's other work
        start = time.perf_counter()
        stage.detect(batch).score.tolist()  # waits for the device
        seconds.append(time.perf_counter() - start)
    return 1e3 * min(seconds[1:]) / TIMED
