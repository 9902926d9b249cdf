"""A job of a sweep: trained, gone on with, or skipped because it is done."""

import logging
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from anomask.runs.checkpoints import resumable
from anomask.runs.commit import current_commit
from anomask.runs.folder import Run
from anomask.sweeps.job import enter_sweep, find_finished, note_skipped, require_same_codebook, require_same_data
from anomask.training import train as training
from anomask.training.sources import codebook_of

log = logging.getLogger(__name__)


def train_job(settings: dict[str, Any], run: Run, sweep_folder: Path) -> float | None:
    """Train one job of a sweep, unless that has been done; one that was cut off goes on.

    Args:
        settings: as in `anomask.training.train.train`.
        run: its folder is named by the settings, see `anomask.settings.key.settings_key`.
        sweep_folder: where the job is entered.

    Returns:
        the validation figure of the best checkpoint, for sweepers that search

    Raises:
        AnomaskError: as `train`; or what is done was done on other data or another codebook.
    """
    finished = find_finished(run)
    if rank_zero_only.rank == 0:
        enter_sweep(finished or run, sweep_folder)
    if finished is not None:
        require_same_codebook(finished, codebook_of(settings))
        require_same_data(finished, settings["data"]["folder"])
        note_skipped(finished, current_commit())
        finished.link_latest()
    else:
        training.train(settings, run, resume=has_begun(run) or False)
    found = (finished or run).read_validation()
    return None if found is None else found["value"]


def has_begun(run: Run) -> Path | None:
    """Return the checkpoint that a job that was cut off can go on from; None where it begins again."""
    checkpoint, last = resumable(run.folder / "checkpoints"), run.checkpoint_file("last")
    if checkpoint is None and last.is_file():
        log.warning("no checkpoint of %s can be read. This run begins again.", run.folder)
    elif checkpoint not in (None, last):
        log.warning("%s goes on from its best checkpoint: the last one is missing or damaged", run.folder)
    return checkpoint
