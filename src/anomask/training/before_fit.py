"""What precedes the gradient steps: a check of the data, frozen features, weights taken from another run."""

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from anomask.data.checks.fingerprint import describe, read_preparation
from anomask.data.checks.verification import verify_folder
from anomask.data.loading.datamodule import SliceDataModule
from anomask.errors import ConfigError, DataError
from anomask.report.verification import in_short, refusal
from anomask.runs.folder import Run
from anomask.stages.detector import DetectorStage
from anomask.stages.features import FeatureCache, cache_key

log = logging.getLogger(__name__)


def verify_data(settings: dict[str, Any], data: SliceDataModule, run: Run) -> None:
    """Check the data, and write down what it was.

    Raises:
        AnomaskError: it has errors, or is not what a resumed run began with.
    """
    memory = Path(settings["paths"]["cache"]) / "fingerprints"
    verification = verify_folder(data.folder, data.on_mixed_size, memory, data.progress)
    if (error := refusal(verification)) is not None:
        raise error
    for line in in_short(verification.findings):
        log.warning("%s", line)
    require_same_data(verification.fingerprint["sha256"], data, run)
    run.write_fingerprint(verification.fingerprint)


def note_data(data: SliceDataModule, run: Run) -> None:
    """Write down what data was that nobody checks.

    Raises:
        DataError: it is not what a resumed run began with.
    """
    fingerprint = describe(data.records, [], read_preparation(data.folder), data.fingerprint())
    require_same_data(fingerprint["sha256"], data, run)
    run.write_fingerprint(run.read_fingerprint() or fingerprint)


def require_same_data(sha256: str | None, data: SliceDataModule, run: Run) -> None:
    """Make sure that a resumed run goes on with what it began with.

    Raises:
        DataError: slices, masks or patients have changed.
    """
    before = run.read_fingerprint()
    if before is not None and before["sha256"] != sha256:
        raise DataError(
            f"{data.folder} is not what this run began with: slices, masks or patients have changed since. Restore "
            "them, or train a new run."
        )


def require_same_codebook(stage: pl.LightningModule, weights: dict[str, torch.Tensor], codebook: Run) -> None:
    """Make sure that a resumed run goes on with the codebook that it began with.

    Args:
        stage: with the codebook of `codebook`.
        weights: of the checkpoint that the run goes on from.
        codebook: what its settings name today.

    Raises:
        ConfigError: another codebook.
    """
    own = stage.state_dict()
    if not all(torch.equal(own[name], value) for name, value in weights.items() if "vqvae." in name):
        raise ConfigError(
            f"{codebook.folder} is not the codebook that this run began with. Name that one: codebook_run=<its folder>."
        )


def frozen_features(
    settings: dict[str, Any], stage: DetectorStage, data: pl.LightningDataModule, trainer: pl.Trainer
) -> FeatureCache | None:
    """Compute the frozen features of the training set once, unless it is augmented or the user says off."""
    where = settings["stage"]["cache"]
    if where == "off" or settings["data"].get("augment"):
        return None
    vqvae = stage.detector.vqvae
    key = cache_key(vqvae, settings["synthesiser"]["salience"], data.slice_hashes(data.train_set.records))
    folder = Path(settings["paths"]["cache"]) / "features" if where == "disk" else None
    n_tokens = (vqvae.size // vqvae.stride) ** 2
    cache = FeatureCache(stage.features, len(data.train_set), n_tokens, folder, key)
    device = torch.device("cpu") if trainer.accelerator is None else trainer.strategy.root_device
    vqvae.to(device)
    cache.fill(data.ordered_loader(data.train_set), device)
    return cache


def take_weights(settings: dict[str, Any], source: Run, run: Run) -> None:
    """Make the best weights of a trained detector those of a run that only maps or scores otherwise.

    Args:
        settings: of the run that takes them.
        source: the trained detector.
        run: where they are written as the best checkpoint.

    Raises:
        ConfigError: the two runs' networks, slice sizes or data differ.
        RunError: there is no whole checkpoint to take.
    """
    checkpoint = source.load_checkpoint("best")
    seen = (("data", "size"), ("data", "folder"), ("data", "crop"))
    for group, name in (("model", None), *seen, ("seed", None)):
        theirs, ours = (
            one[group] if name is None else one[group].get(name) for one in (checkpoint["settings"], settings)
        )
        if theirs != ours:
            what = group if name is None else f"{group}.{name}"
            raise ConfigError(
                f"weights_run={source.folder} was trained with {what} = {theirs}, this run says {ours}. Use its "
                "settings, or train a run of your own."
            )
    run.write_checkpoint("best", {"settings": settings, "state_dict": checkpoint["state_dict"]})
