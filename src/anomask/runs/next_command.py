"""The command that comes next, ready to paste."""

import logging
import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from anomask.errors import RunError
from anomask.reading import read_yaml
from anomask.report.record.shapes import OVERRIDES
from anomask.runs.folder import Run

log = logging.getLogger(__name__)

PART = "ANOMASK_PART"  # set where a command is a part of another, which says what comes next
CARRIED = ("data", "model", "paths", "device", "seed", "logger")  # overrides of stage 1 that stage 2 needs, too


def say_next(*commands: str) -> None:
    """Log what comes next."""
    for following in commands:
        if PART not in os.environ:
            log.info("next: %s", following)


def reference(run: Run) -> str:
    """Return what a run is called on the command line: its name where that is enough, or its folder."""
    folder = run.folder.resolve()
    name, latest = folder.parent.name, folder.parent / "latest"
    runs = Path(os.environ.get("ANOMASK_RUNS", "runs")).resolve()
    return name if latest.resolve() == folder and folder.parent.parent == runs else os.path.relpath(folder)


def after_codebook(run: Run, typed: Sequence[str], experiments: Sequence[str]) -> str:
    """Return the command of stage 2.

    Args:
        run: the codebook's.
        typed: overrides that it was trained with.
        experiments: names of all experiments; a detector's is its codebook's with the other stage in it.
    """
    chosen = dict(one.split("=", 1) for one in typed if "=" in one)
    experiment = chosen.get("experiment", "codebook").replace("codebook", "detector")
    if experiment not in experiments or experiment == "detector":  # which needs no codebook
        experiment = "detector_tokens"
    kept = [one for one in typed if one.lstrip("+~").split("=")[0].split(".")[0] in CARRIED]
    stage = [f"experiment={experiment}"]
    name = [f"name={chosen['name'].replace('_codebook', '')}"] if "_codebook" in chosen.get("name", "") else []
    return command("train", *stage, *name, *kept, f"codebook_run={reference(run)}")


def after_training(run: Run, has_test_set: bool) -> str:
    """Return the command that evaluates a detector or comparison method, or predicts where there is no test set."""
    if has_test_set:
        return command("evaluate", f"run={reference(run)}")
    return f"{command('predict', f'run={reference(run)}')} input=<slices, folder, DICOM series or NIfTI>"


def after_evaluation(run: Run) -> list[str]:
    """Return the commands that follow an evaluation."""
    name = reference(run)
    return [
        f"{command('predict', f'run={name}')} input=<slices, folder, DICOM series or NIfTI>",
        f"{command('compare', f'first={name}')} second=<another evaluated run>",
    ]


def typed_for(run: Run) -> list[str]:
    """Return the overrides that a run was begun with, or none where Hydra did not write them down."""
    with suppress(OSError, RunError):  # it only helps
        return read_yaml(run.folder / ".hydra" / "overrides.yaml", OVERRIDES, "") or []
    return []


def command(verb: str, *arguments: str) -> str:
    """Return a command line that a shell reads as it is meant."""
    return shlex.join(["anomask", verb, *arguments])
