"""A job of a sweep: where it is entered, whether it has been done, and whether a part of it has."""

import logging
import os
from pathlib import Path

from anomask.errors import ConfigError, RunError
from anomask.files import link_whole
from anomask.runs.folder import Run, load_checkpoint
from anomask.settings.key import settings_key

log = logging.getLogger(__name__)


def enter_sweep(run: Run, sweep_folder: Path) -> None:
    """Enter a job's run folder in the folder of its sweep, as a link ``<name>_<key>``."""
    name = f"{run.folder.parent.name}_{run.folder.name}"
    link_whole(sweep_folder / name, Path(os.path.relpath(run.folder, sweep_folder.resolve())))


def find_finished(run: Run) -> Run | None:
    """Return a finished run of the same name and settings: the job's own folder, or one trained outside a sweep.

    Args:
        run: its folder is named by its settings, see `anomask.settings.key.settings_key`.
    """
    if run.finished:
        return run
    for file in sorted(run.folder.parent.glob("*/config.yaml"), reverse=True):
        other = Run(file.parent)
        if other.finished and file.parent.name != "latest" and settings_key(other.read_settings()) == run.folder.name:
            return other
    return None


def has_begun(run: Run) -> bool:
    """Say whether a run that was cut off can go on; a last checkpoint that cannot be read is left aside."""
    file = run.checkpoint_file("last")
    if not file.is_file():
        return False
    try:
        load_checkpoint(file)
    except RunError as error:
        log.warning("%s This run begins again.", error)
        return False
    return True


def require_same_codebook(run: Run, codebook: Run | None) -> None:
    """Make sure that a finished job stands on the codebook that its settings name today.

    Raises:
        ConfigError: the codebook was trained again since.
    """
    used = (run.read_cost() or {}).get("codebook", {}).get("run")
    if codebook is not None and used is not None and used != codebook.label:
        raise ConfigError(
            f"{run.folder} was trained on the codebook {used}; codebook_run means {codebook.label} today. Remove that "
            f"run folder to train it again, or name its codebook: codebook_run={codebook.folder.parents[1] / used}"
        )


def note_skipped(run: Run, commit: str | None) -> None:
    """Log that a job is done already, and by which code."""
    by = (run.read_cost() or {}).get("commit")
    log.info("finished before, by commit %s: skipped. %s", by, run.folder)
    if by != commit:
        log.warning("the code is at commit %s now; remove %s to train it again", commit, run.folder)
