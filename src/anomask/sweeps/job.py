"""A job of a sweep: where it is entered, and whether what was done before is what is wanted today."""

import logging
import os
from pathlib import Path
from typing import Any

from anomask.data.checks.fingerprint import content_hash
from anomask.data.folder.manifest import read_folder
from anomask.errors import ConfigError, DataError, RunError
from anomask.files import link_whole
from anomask.runs.checkpoints import digest
from anomask.runs.folder import Run
from anomask.settings.key import differing, settings_key

log = logging.getLogger(__name__)


def enter_sweep(run: Run, sweep_folder: Path) -> None:
    """Enter a job's run folder in the folder of its sweep, as a link ``<name>_<key>``."""
    name = f"{run.folder.parent.name}_{run.folder.name}"
    link_whole(sweep_folder / name, Path(os.path.relpath(run.folder, sweep_folder.resolve())))


def find_finished(run: Run) -> Run | None:
    """Return a finished run of the same name and settings: the job's own folder, or one trained outside a sweep.

    Args:
        run: its folder is named by its settings, see `anomask.settings.key.settings_key`.

    Raises:
        RunError: the folder holds a run of other settings: it was resumed with a larger budget, say.
    """
    if run.settings_file.is_file():
        if settings_key(run.read_settings()) != run.folder.name:
            raise RunError(
                f"{run.folder} is named by settings that are no longer those of the run in it. Rename it, and the job "
                "is trained again."
            )
        if run.finished:
            return run
    for file in sorted(run.folder.parent.glob("*/config.yaml"), reverse=True):
        other = Run(file.parent)
        if file.parent.name != "latest" and _key(other) == run.folder.name and other.finished:
            return other
    return None


def require_own_folder(run: Run, settings: dict[str, Any]) -> None:
    """Make sure that a folder that a user names holds no other run.

    Raises:
        ConfigError: it does.
    """
    if not run.settings_file.is_file():
        return
    if names := differing(run.read_settings(), settings):
        raise ConfigError(
            f"{run.folder} holds a run with another {', '.join(names[:5])}{' and more' if names[5:] else ''}. Name "
            "a new folder, or leave run= out; to go on with that run: resume=<folder>."
        )


def require_same_codebook(run: Run, codebook: Run | None) -> None:
    """Make sure that a finished job stands on the codebook that its settings name today.

    Raises:
        ConfigError: the codebook was trained again since.
    """
    used = (run.read_cost() or {}).get("codebook", {})
    if codebook is None or not used:
        return
    if "best_sha256" in used:  # older runs know their codebook's name alone
        same = used["best_sha256"] == digest(codebook.checkpoint_file("best"))
    else:
        same = used.get("run") in (None, codebook.label)
    if not same:
        raise ConfigError(
            f"{run.folder} was trained on the codebook {used.get('run')}; codebook_run means {codebook.label} today. "
            "Remove that run folder to train it again, or name its codebook: "
            f"codebook_run={codebook.folder.parents[1] / str(used.get('run'))}"
        )


def require_same_data(run: Run, folder: str) -> None:
    """Make sure that a finished job was trained on what its data folder holds today.

    Raises:
        DataError: slices were added, removed or changed since.
    """
    before, path = run.read_fingerprint(), Path(folder)
    if before is None or not path.is_dir():
        why = "the run does not know what it learned from" if before is None else f"{path} is gone"
        log.warning("%s: whether its data are those of today is not known (%s)", run.folder, why)
    elif before["sha256"] != content_hash(read_folder(path)):
        raise DataError(
            f"{run.folder} was trained on other data than {path} holds today: slices, masks or patients have changed. "
            "Remove that run folder to train it again, or give the new runs another name."
        )


def note_skipped(run: Run, commit: str | None) -> None:
    """Log that a job is done already, and by which code."""
    by = (run.read_cost() or {}).get("commit")
    log.info("finished before, by commit %s: skipped. %s", by, run.folder)
    if by != commit:
        log.warning("the code is at commit %s now; remove %s to train it again", commit, run.folder)


def _key(run: Run) -> str | None:
    try:
        return settings_key(run.read_settings())
    except RunError:
        return None  # damaged: not what is looked for
