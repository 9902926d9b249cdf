"""Train one stage: compose the settings, build the objects, fit, write the run folder."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import hydra
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.utilities import rank_zero_only

from anomask.build import build_data, build_stage, needs_codebook
from anomask.config import CONF_FOLDER, plain, register
from anomask.data.datamodule import SliceDataModule
from anomask.data.verification import verify_folder
from anomask.entry import quieten, user_errors
from anomask.errors import ConfigError, DataError, RunError
from anomask.finish import cost, fit_normals, write_threshold
from anomask.report.verification import in_short, refusal
from anomask.runs import Run, find_run
from anomask.stages.baseline import BaselineStage
from anomask.stages.codebook import CodebookStage
from anomask.stages.detector import DetectorStage
from anomask.stages.features import FeatureCache, cache_key

log = logging.getLogger(__name__)
register()


def train(settings: dict[str, Any], run: Run, resume: bool = False) -> None:
    """Train the stage that `settings` name into the folder of `run`.

    Args:
        settings: plain settings of a whole run, see `anomask.config.Config`.
        run: where everything is written.
        resume: whether to go on from the run's last checkpoint.

    Raises:
        AnomaskError: settings, data or codebook that cannot be used.
    """
    quieten()
    pl.seed_everything(settings["seed"], workers=True, verbose=False)
    if resume and rank_zero_only.rank == 0:
        run.keep_metrics()
    data, stage = _build(settings, run)
    trainer = instantiate(
        settings["trainer"],
        logger=instantiate(settings["logger"]),
        callbacks=callbacks_of(settings),
        default_root_dir=str(run.folder),
        _convert_="all",
    )
    if trainer.is_global_zero:
        run.write_settings(settings)
    if isinstance(stage, DetectorStage):
        stage.cache = _frozen_features(settings, stage, data, trainer)
    start = time.perf_counter()
    if not isinstance(stage, BaselineStage) or stage.method.learns:
        checkpoint = str(run.checkpoint_file("last")) if resume else None
        trainer.fit(stage, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if trainer.interrupted:
        raise RunError(f"training was interrupted; continue it with: python -m anomask.train resume={run.folder}")
    run = Run(Path(trainer.strategy.broadcast(str(run.folder))))  # tasks of srun name theirs by their own clocks
    if isinstance(stage, BaselineStage):
        fit_normals(stage, data, trainer, run)
    seconds = time.perf_counter() - start
    if not isinstance(stage, CodebookStage):
        write_threshold(stage, data, trainer, run)
    if trainer.is_global_zero:
        run.write_cost(seconds, cost(stage, data, trainer) | _codebook_cost(settings))
        run.link_latest()
        log.info("run folder: %s", run.folder)
    for logger in trainer.loggers:
        if hasattr(logger.experiment, "finish"):  # W&B: several runs of a sweep share one process
            logger.experiment.finish()


def callbacks_of(settings: dict[str, Any]) -> list[pl.Callback]:
    """Build the callbacks of a run."""
    return [instantiate(callback) for callback in settings["callbacks"].values()]


def _build(
    settings: dict[str, Any], run: Run
) -> tuple[pl.LightningDataModule, CodebookStage | DetectorStage | BaselineStage]:
    stage = build_stage(settings, _codebook(settings))
    data = build_data(settings)
    data.prepare_data()
    if settings.get("verify") and rank_zero_only.rank == 0:
        _verify(settings, data, run)
    data.setup("fit")
    return data, stage


def _codebook(settings: dict[str, Any]) -> Run | None:
    if not needs_codebook(settings):
        return None
    if not settings["codebook_run"]:
        what = settings["baseline"]["_target_"] if settings["baseline"] else "stage=detector"
        raise ConfigError(f"{what} needs codebook_run=<run folder or run name> of a trained codebook.")
    return find_run(settings["codebook_run"], settings["paths"]["runs"], "codebook")


def _codebook_cost(settings: dict[str, Any]) -> dict[str, Any]:
    run = _codebook(settings)
    return {} if run is None else {"codebook": run.read_cost()}


def _verify(settings: dict[str, Any], data: SliceDataModule, run: Run) -> None:
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
    before = run.read_fingerprint()
    if before is not None and before["sha256"] != verification.fingerprint["sha256"]:
        raise DataError(
            f"{data.folder} is not what this run began with: slices, masks or patients have changed since. Restore "
            "them, or train a new run."
        )
    run.write_fingerprint(verification.fingerprint)


def _frozen_features(
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


def _refuse_a_sweep_of_processes(config: DictConfig) -> None:
    # Without srun, Lightning starts further processes by repeating the command, which would be the whole sweep.
    count = config.trainer.devices * config.trainer.num_nodes
    if count > 1 and HydraConfig.get().mode == RunMode.MULTIRUN and "SLURM_NTASKS" not in os.environ:
        raise ConfigError(
            f"a job of this sweep wants {count} processes; jobs of a sweep have one each where SLURM does not start "
            "them. Use device=gpu or device=cpu, or run the jobs one by one."
        )


@hydra.main(version_base="1.3", config_path=str(CONF_FOLDER), config_name="train")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/ and the command line, and train."""
    with user_errors():
        run = Run(Path(HydraConfig.get().runtime.output_dir))
        if config.resume:
            train(run.read_settings(), run, resume=True)
            return
        _refuse_a_sweep_of_processes(config)
        config.run = str(run.folder)
        train(plain(config), run)


if __name__ == "__main__":
    main()
