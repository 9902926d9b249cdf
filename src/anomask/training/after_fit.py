"""What follows the gradient steps: a look at all training normals, the decision threshold, and the bill."""

import logging
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from anomask.batches import FrozenFeatures, SliceBatch
from anomask.build import Stage, build_data, with_weights
from anomask.files import whole_file
from anomask.metrics.floors import floors_of
from anomask.progress import spoken
from anomask.report.record.threshold import thresholds
from anomask.runs.folder import Run
from anomask.stages.baseline import BaselineStage
from anomask.stages.codebook import CodebookStage
from anomask.stages.detector import DetectorStage
from anomask.stages.normals import score_normals
from anomask.stages.seeding import slice_draws

log = logging.getLogger(__name__)

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


def fix_threshold(
    settings: dict[str, Any], data: pl.LightningDataModule, run: Run, device: str | torch.device = "cpu"
) -> None:
    """Score the validation normals with the best checkpoint and fix the decision threshold on them.

    The stage is built anew, as evaluation and prediction open it: in the trainer's hands it may be of less precision.

    Args:
        settings: of the run.
        data: its data, set up.
        run: its folder; the best checkpoint in it gets these settings, where it has older ones.
        device: where to.

    Raises:
        DataError: too few validation normals.
    """
    best, scoring = run.load_checkpoint("best"), settings["scoring"]
    normals = score_normals(with_weights(settings, best["state_dict"]).to(device), data.val_dataloader())
    if rank_zero_only.rank == 0:
        scores = normals.scores.tolist()
        fixed = thresholds(scores, scoring["specificity"], normals.pixels, scoring["pixel_specificity"])
        if best["settings"] != settings:
            run.write_checkpoint("best", best | {"settings": settings})
        run.write_normal_scores(scores)
        run.write_threshold(fixed)


def write_floors(settings: dict[str, Any], data: pl.LightningDataModule, run: Run) -> None:
    """Keep what an evaluation on test slices alone needs of the training normals: whole and without augmentation."""
    if rank_zero_only.rank == 0:
        if settings["data"].get("crop", "none") != "none":
            data = build_data(settings, crop="none")
            data.setup("fit")
        with whole_file(run.floors_file) as file:
            floors_of(Images(data, data.train_set.plain(), torch.device("cpu"))).save(file)


def write_validation(trainer: pl.Trainer, run: Run) -> None:
    """Write the figure by which the best checkpoint was chosen, if one was."""
    for callback in trainer.checkpoint_callbacks:
        chosen = callback.monitor and callback.best_model_score is not None
        if chosen and Path(callback.best_model_path).name == run.checkpoint_file("best").name:
            run.write_validation(callback.monitor, callback.mode, float(callback.best_model_score))


def say_end(run: Run) -> None:
    """Log what a training came to: the figure that chose the best checkpoint, the time, and where it all is."""
    best, seconds = run.read_validation(), (run.read_cost() or {}).get("seconds", 0.0)
    figure = f"best {best['monitor']} {best['value']:.4g}, " if best else ""
    log.info("trained in %s: %s%s", spoken(seconds), figure, run.folder)


def cost(stage: Stage, data: pl.LightningDataModule, trainer: pl.Trainer) -> dict[str, Any]:
    """Return what a run took beside its seconds: steps, slices seen, size, memory and the time of one detection."""
    seen = trainer.global_step * stage.settings["data"]["batch_size"]
    bill = {
        "steps": trainer.global_step,
        "slices_seen": seen,
        "epochs": round(seen / len(data.train_set), 1),
        "devices": f"{trainer.num_nodes} x {trainer.num_devices} {trainer.strategy.root_device.type}",
        "cpu_threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in stage.parameters()),
        "trained_parameters": sum(p.numel() for p in stage.parameters() if p.requires_grad),
        "peak_memory_mb": _peak_memory_mb(),
    }
    if isinstance(stage, DetectorStage):
        bill["synthesis_ms_per_slice"] = round(_synthesis_ms(stage, data, trainer), 3)
    if not isinstance(stage, CodebookStage):
        bill["detect_ms_per_slice"] = round(_detection_ms(stage, data, trainer), 3)
    return bill


def _detection_ms(stage: Stage, data: pl.LightningDataModule, trainer: pl.Trainer) -> float:
    batch = _timed_batch(stage, data, trainer)
    return _ms_per_slice(lambda: stage.detect(batch).score)


def _synthesis_ms(stage: DetectorStage, data: pl.LightningDataModule, trainer: pl.Trainer) -> float:
    # Salience and corruption; what encodes and decodes is the same in every synthesiser.
    batch = _timed_batch(stage, data, trainer)
    batch = batch._replace(index=torch.arange(TIMED, device=batch.index.device))
    known = stage.features(batch)

    def features(some: SliceBatch) -> FrozenFeatures:
        own = FrozenFeatures(*(part[some.index] for part in known))
        return own._replace(salience=stage.features.salience(own.tokens))

    def synthesise() -> Tensor:
        return stage.corrupter(batch, features, slice_draws(batch.index, stage.seed)).mask

    with torch.no_grad():
        return _ms_per_slice(synthesise)


def _timed_batch(stage: pl.LightningModule, data: pl.LightningDataModule, trainer: pl.Trainer) -> SliceBatch:
    device = trainer.strategy.root_device
    rows = [data.validation_set[row % len(data.validation_set)] for row in range(TIMED)]
    stage.to(device).eval()
    return SliceBatch(*(torch.stack(parts).to(device) for parts in zip(*rows, strict=True)))


def _ms_per_slice(work: Callable[[], Tensor]) -> float:
    seconds = []
    for _ in range(4):  # the first one warms up; the best of the rest says least about the machine's other work
        start = time.perf_counter()
        work().tolist()  # waits for the device
        seconds.append(time.perf_counter() - start)
    return 1e3 * min(seconds[1:]) / TIMED


def reset_peak_memory() -> None:
    """Forget the memory of earlier jobs of this process, where the system lets one (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory_mb() -> int:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
