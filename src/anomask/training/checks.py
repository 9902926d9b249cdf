"""What the data and the disk say before the first step: a training that cannot end well is refused before it begins."""

import logging
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from anomask.data.folder.findings import Finding, raise_first
from anomask.data.loading.datamodule import SliceDataModule
from anomask.errors import AnomaskError, ConfigError, DataError, RunError
from anomask.runs.folder import Run
from anomask.scoring.threshold import normals_needed

log = logging.getLogger(__name__)

CHECKPOINTS = 3  # best, last, and the one that is being written


def refuse_early(settings: dict[str, Any], stage: pl.LightningModule, data: SliceDataModule, run: Run) -> None:
    """Refuse a training that would end without a checkpoint, a codebook or a threshold.

    Args:
        settings: of the run.
        stage: what is to be trained.
        data: nothing of it needs to be loaded.
        run: where checkpoints will be written.

    Raises:
        AnomaskError: what is wrong, and what to do.
    """
    training, validation, _ = data.split_normals()
    learns = takes_steps(settings, stage)
    found = list(batch_findings(len(training), settings["data"])) if learns else []
    thresholds = list(threshold_findings(len(training), len(validation), settings))
    if settings["stage"]["name"] == "codebook":
        found += codebook_findings(len(training), settings, stage.vqvae)
        for finding in thresholds:
            log.warning("a detector on this codebook will be refused: %s %s", finding.message, finding.remedy)
    else:
        found += thresholds
    raise_first(found)
    require_room(stage, run.folder)


def takes_steps(settings: dict[str, Any], stage: pl.LightningModule) -> bool:
    """Say whether a run takes gradient steps: some methods only look at normals, and weights may come from a run."""
    return not settings.get("weights_run") and getattr(getattr(stage, "method", None), "learns", True)


def set_findings(data: SliceDataModule, settings: dict[str, Any]) -> list[Finding]:
    """Return why a data folder cannot be trained on with these settings: what `anomask verify` says.

    Args:
        data: the folder.
        settings: its groups `data` and `scoring`.
    """
    training, validation, _ = data.split_normals()
    return [
        *batch_findings(len(training), settings["data"]),
        *threshold_findings(len(training), len(validation), settings),
    ]


def batch_findings(training: int, data: dict[str, Any]) -> Iterator[Finding]:
    """Yield a finding where one batch holds more slices than there are."""
    if data["batch_size"] > training:
        message = f"data.batch_size is {data['batch_size']}, and there are {training} training normals."
        remedy = f"Use data.batch_size={training} or less, or add normal slices."
        yield _finding("large batch", message, remedy, ConfigError)


def threshold_findings(training: int, validation: int, settings: dict[str, Any]) -> Iterator[Finding]:
    """Yield findings where validation normals cannot fix the thresholds that are wanted."""
    scoring = settings["scoring"]
    for name in ("specificity", "pixel_specificity"):
        if not 0 < scoring[name] < 1:
            message = f"scoring.{name} is {scoring[name]}; a number between 0 and 1 is wanted."
            yield _finding("specificity", message, "Use 0.95, say.", ConfigError)
            return
    wanted = scoring["specificity"]
    needed = normals_needed(wanted)
    if validation < needed:
        possible = math.floor(100 * validation / (validation + 1)) / 100  # normals_needed, turned round
        share = math.ceil(100 * needed / (training + validation)) / 100
        other = f", data.validation_share={share:.2f}" if share <= 0.5 else ""
        message = (
            f"{validation} validation normals cannot fix a threshold of specificity {wanted}; {needed} are needed."
        )
        remedy = f"Use scoring.specificity={possible:.2f}{other}, or add normal slices."
        yield _finding("few validation normals", message, remedy, DataError)


def codebook_findings(training: int, settings: dict[str, Any], vqvae: Any) -> Iterator[Finding]:
    """Yield a finding where there are more codes than tokens to learn them from."""
    tokens = training * (vqvae.size // vqvae.stride) ** 2
    if vqvae.quantiser.n_codes > tokens:
        message = (
            f"model.quantiser.n_codes is {vqvae.quantiser.n_codes}; {training} training normals have {tokens} tokens."
        )
        remedy = f"Use model.quantiser.n_codes={max(1, tokens // 8)}, or add normal slices."
        yield _finding("large codebook", message, remedy, ConfigError)


def require_room(stage: pl.LightningModule, folder: Path) -> None:
    """Make sure that the checkpoints will fit on the disk.

    Raises:
        RunError: they will not.
    """
    place = next(one for one in (folder, *folder.absolute().parents) if one.is_dir())
    state = sum(value.numel() * value.element_size() for value in stage.state_dict().values())
    moments = 2 * sum(value.numel() * value.element_size() for value in stage.parameters() if value.requires_grad)
    needed, free = CHECKPOINTS * (state + moments), shutil.disk_usage(place).free
    if free < needed:
        raise RunError(
            f"{free / 1e6:.0f} MB are free on the disk of {folder}; checkpoints of this model need {needed / 1e6:.0f} "
            "MB. Free space, or set ANOMASK_RUNS to a folder on another disk."
        )


def _finding(kind: str, message: str, remedy: str, raises: type[AnomaskError]) -> Finding:
    return Finding(kind, ("train/normal",), message, remedy, raises=raises)
