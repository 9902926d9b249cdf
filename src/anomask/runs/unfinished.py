"""Runs that broke off: a note of why, and what anyone who names such a run is told."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from anomask.errors import RunError, find_user_error
from anomask.files import write_json
from anomask.reading import read_json
from anomask.report.record.shapes import FAILURE as NOTE
from anomask.runs.folder import Run
from anomask.runs.next_command import command, typed_for

FAILURE = "failure.json"


@contextmanager
def failure_noted(run: Run, settings: dict[str, Any]) -> Iterator[None]:
    """Note in the run's folder why a training broke off; the note of an earlier attempt is removed.

    Args:
        run: its folder.
        settings: written beside the note, so that one can see which job it was.
    """
    file = run.folder / FAILURE
    file.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        cause = find_user_error(error) or error
        with suppress(OSError):  # a full disk; the error itself goes on
            if not run.settings_file.is_file():
                run.write_settings(settings)
            write_json(file, {"error": type(cause).__name__, "message": str(cause)})
        raise


def require_finished(run: Run, checkpoint: str = "best") -> Run:
    """Return a run that can be used.

    Args:
        run: as it was named.
        checkpoint: what of it is wanted; `last` needs no finished run.

    Raises:
        RunError: it broke off; the message says what it lacks, why, and which command mends it.
    """
    lacks = None if checkpoint != "best" else run.missing
    if lacks is None:
        return run
    reason = _reason(run)
    failed = f"It failed: {reason.rstrip('.')}. " if reason else ""
    raise RunError(f"{run.folder} is not finished: {lacks.rstrip('.')}. {failed}{remedy(run)}")


def remedy(run: Run) -> str:
    """Return what to do about a run that broke off: the command that goes on, or the one that begins again."""
    if run.checkpoint_file("last").is_file():
        return f"Go on with: anomask train resume={shlex.quote(str(run.folder))}"
    typed = typed_for(run)
    return f"Train it again: {command('train', *typed)}" if typed else "Train it again."


def _reason(run: Run) -> str | None:
    with suppress(OSError, RunError):  # it only helps
        note = read_json(run.folder / FAILURE, NOTE, "")
        return f"{note['error']}: {note['message']}"
    return None
