"""Train one stage: compose the settings, build the objects, fit, write the run folder."""

import logging
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import instantiate
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.utilities import rank_zero_only

from anomask.build import build_data, build_logger, build_stage, needs_codebook
from anomask.errors import ConfigError, RunError
from anomask.quiet import quieten
from anomask.runs.commit import current_commit
from anomask.runs.folder import Run, find_run
from anomask.runs.unfinished import failure_noted
from anomask.stages.baseline import BaselineStage
from anomask.stages.codebook import CodebookStage
from anomask.stages.detector import DetectorStage
from anomask.sweeps.job import enter_sweep, find_finished, has_begun, note_skipped, require_same_codebook
from anomask.training.after_fit import (
    cost,
    fit_normals,
    reset_peak_memory,
    say_end,
    write_floors,
    write_threshold,
    write_validation,
)
from anomask.training.before_fit import frozen_features, take_weights, verify_data
from anomask.training.checks import refuse_early

log = logging.getLogger(__name__)


def train(settings: dict[str, Any], run: Run, resume: bool = False) -> None:
    """Train the stage that `settings` name into the folder of `run`.

    Args:
        settings: plain settings of a whole run, see `anomask.settings.schema.Config`.
        run: where everything is written.
        resume: whether to go on from the run's last checkpoint.

    Raises:
        AnomaskError: settings, data or codebook that cannot be used, or a folder that another process trains into.
    """
    quieten()
    # Of several processes of one training the first holds the folder for all.
    with run.claimed() if rank_zero_only.rank == 0 else nullcontext(), failure_noted(run, settings):
        _train(settings, run, resume)


def _train(settings: dict[str, Any], run: Run, resume: bool) -> None:
    reset_peak_memory()
    pl.seed_everything(settings["seed"], workers=True, verbose=False)
    if resume and rank_zero_only.rank == 0:
        run.keep_metrics()
    data, stage = _build(settings, run)
    timer = Timer()  # goes on counting in a resumed run
    trainer = instantiate(
        settings["trainer"],
        logger=build_logger(settings, run, resume, _codebook(settings)),
        callbacks=[*callbacks_of(settings), timer],
        default_root_dir=str(run.folder),
        _convert_="all",
    )
    if trainer.is_global_zero:
        run.write_settings(settings)
    if settings.get("weights_run"):  # a run of before it was a setting can be resumed
        take_weights(settings, _weights(settings), run)
    elif not isinstance(stage, BaselineStage) or stage.method.learns:
        _fit(stage, data, trainer, settings, run, resume)
    run = Run(Path(trainer.strategy.broadcast(str(run.folder))))  # tasks of srun name theirs by their own clocks
    start = time.perf_counter()
    if isinstance(stage, BaselineStage):
        fit_normals(stage, data, trainer, run)
    seconds = timer.time_elapsed("train") + time.perf_counter() - start
    if not isinstance(stage, CodebookStage):
        write_threshold(stage, data, trainer, run)
        write_floors(data, trainer, run)
    if trainer.is_global_zero:
        write_validation(trainer, run)
        bill = {"seconds": round(seconds, 1), "commit": current_commit()}
        run.write_cost(bill | cost(stage, data, trainer) | _inherited_cost(settings))
        run.link_latest()
        say_end(run)
    for logger in trainer.loggers:
        if hasattr(logger, "close"):  # W&B: several runs of a sweep share one process
            logger.close()


def _fit(
    stage: CodebookStage | DetectorStage | BaselineStage,
    data: pl.LightningDataModule,
    trainer: pl.Trainer,
    settings: dict[str, Any],
    run: Run,
    resume: bool,
) -> None:
    if isinstance(stage, DetectorStage):
        stage.cache = frozen_features(settings, stage, data, trainer)
    checkpoint = str(run.checkpoint_file("last")) if resume else None
    trainer.fit(stage, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if trainer.interrupted:
        raise RunError(f"training was interrupted; continue it with: anomask train resume={run.folder}")


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
        verify_data(settings, data, run)
    refuse_early(settings, stage, data, run)
    data.setup("fit")
    return data, stage


def _codebook(settings: dict[str, Any]) -> Run | None:
    if settings.get("weights_run") or not needs_codebook(settings):
        return None
    if not settings["codebook_run"]:
        what = settings["baseline"]["_target_"] if settings["baseline"] else "stage=detector"
        raise ConfigError(f"{what} needs codebook_run=<run folder or run name> of a trained codebook.")
    return find_run(settings["codebook_run"], settings["paths"]["runs"], "codebook")


def _weights(settings: dict[str, Any]) -> Run:
    return find_run(settings["weights_run"], settings["paths"]["runs"], "detector")


def _inherited_cost(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the bill of what the run stands on: its codebook's, or the training of the run whose weights it takes."""
    if settings.get("weights_run"):
        bill = _weights(settings).read_cost() or {}
        return {name: bill[name] for name in ("seconds", "steps", "slices_seen", "epochs", "codebook") if name in bill}
    run = _codebook(settings)
    return {} if run is None else {"codebook": {"run": run.label, **(run.read_cost() or {})}}


def train_job(settings: dict[str, Any], run: Run, sweep_folder: Path) -> float | None:
    """Train one job of a sweep, unless that has been done; one that was cut off goes on.

    Args:
        settings: as in `train`.
        run: its folder is named by the settings, see `anomask.settings.key.settings_key`.
        sweep_folder: where the job is entered.

    Returns:
        the validation figure of the best checkpoint, for sweepers that search
    """
    finished = find_finished(run)
    if rank_zero_only.rank == 0:
        enter_sweep(finished or run, sweep_folder)
    if finished is not None:
        require_same_codebook(finished, _codebook(settings))
        note_skipped(finished, current_commit())
        finished.link_latest()
    else:
        train(settings, run, resume=has_begun(run))
    found = (finished or run).read_validation()
    return None if found is None else found["value"]
