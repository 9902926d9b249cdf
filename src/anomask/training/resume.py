"""Going on with a run: found and understood before anything is made, trained from its last whole checkpoint."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from anomask.build import build_data
from anomask.errors import ConfigError, RunError
from anomask.runs import Run, find_run
from anomask.runs.checkpoints import resumable
from anomask.runs.finding import checkpoint_in
from anomask.settings.key import moved
from anomask.settings.resume import BUDGET, THRESHOLD, callbacks_typed, resumed
from anomask.settings.targets import checked
from anomask.training.after_fit import fix_threshold
from anomask.training.train import train

log = logging.getLogger(__name__)


WHOLE = ("name", "run", "seed", "stage", "data", "paths", "trainer", "logger")  # of the settings of a run that trains


class Resumption(NamedTuple):
    """A run that is to go on."""

    run: Run
    saved: dict[str, Any]  # its settings as they were
    settings: dict[str, Any]  # and as it goes on
    first: str  # the checkpoint that is tried first


def resumption(wanted: str, runs: str, overrides: Sequence[Override]) -> Resumption:
    """Find a run and settle how it goes on.

    Args:
        wanted: its folder, name or a checkpoint file; of a name the newest run, cut off or not.
        runs: where run folders are kept.
        overrides: what is typed beside ``resume=``.

    Raises:
        AnomaskError: no such run, one that names foreign classes, or overrides that cannot be applied.
    """
    run, first = (
        find_run(wanted, runs, "codebook", "detector", "baseline", newest=True),
        checkpoint_in(wanted) or "last",
    )
    if first not in ("last", "best"):
        raise RunError(f"{wanted} is no checkpoint of a run; wanted: its last.ckpt or best.ckpt.")
    saved = checked(run.read_settings(), run.settings_file, callbacks_typed(overrides))
    if "callbacks" not in saved:
        raise RunError(f"{run.folder} was made by anomask external, which has nothing to go on from. Run that again.")
    lacking = [name for name in WHOLE if name not in saved]
    lacking = lacking or [f"paths.{name}" for name in ("data", "cache", "runs") if name not in saved["paths"]]
    if lacking:
        raise RunError(
            f"{run.settings_file} lacks {', '.join(lacking)}: it is damaged. Copy the run folder again, or train it."
        )
    here = str(run.folder)
    saved |= {name: moved(saved[name], str(saved["run"]), here) for name in ("callbacks", "logger", "trainer")}
    saved |= {"run": here, "resume": None}
    return Resumption(run, saved, resumed(saved, overrides), first)


def go_on(plan: Resumption) -> None:
    """Train a run further, or fix its threshold anew where that is all that is asked for.

    Raises:
        AnomaskError: as `anomask.training.train.train`; or its checkpoints cannot be read.
    """
    run, settings = plan.run, plan.settings
    if run.finished and not _changed(plan, BUDGET):
        if _changed(plan, THRESHOLD):
            _fix_again(settings, run)
            log.info("the threshold was fixed anew; nothing was trained: %s", run.folder)
        else:
            log.info("finished before; nothing to do: %s (longer: trainer.max_steps=<more>)", run.folder)
        return
    if _changed(plan, BUDGET) and settings["stage"]["optimisation"].get("schedule") != "constant":
        log.warning("the learning rate follows its schedule for the new number of steps from here on")
    train(settings, run, resume=starting_point(run, plan.first) or False)


def starting_point(run: Run, first: str = "last") -> Path | None:
    """Return the checkpoint that a run goes on from, with a line where it is not the wanted one; None: from step 0.

    Raises:
        RunError: there are checkpoints, and none that a training can go on from.
    """
    wanted, found = run.checkpoint_file(first), resumable(run.folder / "checkpoints", first)
    if found is None and wanted.is_file():
        raise RunError(
            f"no checkpoint of {run.folder} can be gone on from: {wanted.name} is damaged or holds weights alone. "
            "Train a new run."
        )
    if found is None:
        log.warning("%s has no checkpoint yet; it begins at step 0", run.folder)
    elif found != wanted:
        log.warning("%s goes on from %s: %s is missing or damaged", run.folder, found.name, wanted.name)
    return found


def _fix_again(settings: dict[str, Any], run: Run) -> None:
    if settings["stage"]["name"] == "codebook":
        raise ConfigError("a codebook has no threshold: leave scoring.specificity out.")
    with run.claimed():
        data = build_data(settings)
        data.prepare_data()
        data.setup("fit")
        bill = run.read_cost()
        fix_threshold(settings, data, run)
        run.write_settings(settings)
        run.write_cost(bill)


def _changed(plan: Resumption, names: Sequence[str]) -> bool:
    before, after = (OmegaConf.create(settings) for settings in (plan.saved, plan.settings))
    return any(OmegaConf.select(before, name) != OmegaConf.select(after, name) for name in names)
