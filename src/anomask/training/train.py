"""Train one stage: build the objects, fit, write the run folder."""

import logging
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.utilities import rank_zero_only

from anomask.build import Stage, build_data, build_stage
from anomask.callbacks.last_step import LastStep
from anomask.data.checks.learned import write_learned
from anomask.errors import ConfigError
from anomask.quiet import quieten
from anomask.runs.checkpoints import load_checkpoint
from anomask.runs.commit import current_commit
from anomask.runs.folder import Run
from anomask.runs.unfinished import failure_noted
from anomask.stages.baseline import BaselineStage
from anomask.stages.codebook import CodebookStage
from anomask.stages.detector import DetectorStage
from anomask.tracking.checks import require_logger
from anomask.training.after_fit import (
    cost,
    fit_normals,
    fix_threshold,
    reset_peak_memory,
    say_end,
    write_floors,
    write_validation,
)
from anomask.training.before_fit import frozen_features, note_data, require_same_codebook, take_weights, verify_data
from anomask.training.checks import refuse_early
from anomask.training.objects import build_callbacks, build_logger, build_trainer, place_of
from anomask.training.refusals import require_data, require_results, require_steps_to_go
from anomask.training.sources import codebook_of, inherited_cost, weights_of
from anomask.training.stopping import Stopping

log = logging.getLogger(__name__)


def train(settings: dict[str, Any], run: Run, resume: bool | Path = False) -> None:
    """Train the stage that `settings` name into the folder of `run`.

    Args:
        settings: plain settings of a whole run, see `anomask.settings.schema.Config`.
        run: where everything is written.
        resume: the checkpoint to go on from; True is the run's last one.

    Raises:
        AnomaskError: settings, data or codebook that cannot be used, or a folder that another process trains into.
        Stopped: a signal asked for it; what was trained is kept.
    """
    quieten()
    start = run.checkpoint_file("last") if resume is True else resume or None
    stopping = Stopping(run)
    # Of several processes of one training the first holds the folder for all.
    claimed = run.claimed() if rank_zero_only.rank == 0 else nullcontext()
    with stopping.watching(), claimed, failure_noted(run, settings):
        _train(settings, run, start, stopping)


def _train(settings: dict[str, Any], run: Run, start: Path | None, stopping: Stopping) -> None:
    reset_peak_memory()
    require_results(settings)
    require_logger(settings["logger"])
    pl.seed_everything(settings["seed"], workers=True, verbose=False)
    # Trained anew in the folder of a finished run, it is another run to trackers.
    goes_on = start is not None or not run.finished
    if rank_zero_only.rank == 0:
        run.write_settings(settings)  # first: a run that is cut off is known by them
        run.reopen()
        if start is not None:
            run.keep_metrics()
    data, stage = _build(settings, run)
    timer = Timer()  # goes on counting in a resumed run
    logger = build_logger(settings, run, goes_on, codebook_of(settings))
    trainer = build_trainer(settings, run, logger, [*callbacks_of(settings, run), timer, LastStep(), stopping])
    if settings.get("weights_run"):  # a run of before it was a setting can be resumed
        take_weights(settings, weights_of(settings), run)
    elif not isinstance(stage, BaselineStage) or stage.method.learns:
        _fit(stage, data, trainer, settings, run, start)
    run = Run(Path(trainer.strategy.broadcast(str(run.folder))))  # tasks of srun name theirs by their own clocks
    begun = time.perf_counter()
    if isinstance(stage, BaselineStage):
        fit_normals(stage, data, trainer, run)
    seconds = timer.time_elapsed("train") + time.perf_counter() - begun
    if not isinstance(stage, CodebookStage):
        fix_threshold(settings, data, run, trainer.strategy.root_device)
        write_floors(settings, data, run)
    if trainer.is_global_zero:
        run.load_checkpoint("best")  # without one that can be read a run is not finished
        write_validation(trainer, run)
        bill = {"seconds": round(seconds, 1), "commit": current_commit()}
        run.write_cost(bill | cost(stage, data, trainer) | inherited_cost(settings))
        run.link_latest()
        say_end(run)
    places = [place_of(logger, run) for logger in trainer.loggers]
    for logger in trainer.loggers:
        if hasattr(logger, "close"):  # W&B: several runs of a sweep share one process
            logger.close()
    if trainer.is_global_zero:
        log.info("tracked: %s", "; ".join(places))


def _fit(
    stage: Stage,
    data: pl.LightningDataModule,
    trainer: pl.Trainer,
    settings: dict[str, Any],
    run: Run,
    start: Path | None,
) -> None:
    if start is not None:
        before = load_checkpoint(start)
        require_steps_to_go(settings, before["global_step"])
        if (codebook := codebook_of(settings)) is not None:
            require_same_codebook(stage, before["state_dict"], codebook)
    if isinstance(stage, DetectorStage):
        stage.cache = frozen_features(settings, stage, data, trainer)
    try:
        trainer.fit(stage, datamodule=data, ckpt_path=start and str(start), weights_only=True)
    except MisconfigurationException as error:
        raise ConfigError(f"the trainer cannot work with these settings: {' '.join(str(error).split())}") from error


def callbacks_of(settings: dict[str, Any], run: Run) -> list[pl.Callback]:
    """Build the callbacks that the settings of a run name."""
    return build_callbacks(settings, run)


def _build(settings: dict[str, Any], run: Run) -> tuple[pl.LightningDataModule, Stage]:
    stage = build_stage(settings, codebook_of(settings))
    data = build_data(settings)
    data.prepare_data()
    first = rank_zero_only.rank == 0
    if first and settings.get("verify"):
        verify_data(settings, data, run)
    refuse_early(settings, stage, data, run)
    data.setup("fit")
    if first and not settings.get("verify"):
        note_data(data, run)
    if first:
        learned = data.train_set.records
        write_learned(run.training_slices_file, learned, data.slice_hashes(learned))
    require_data(settings, data)
    return data, stage
