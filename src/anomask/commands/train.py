"""Train one stage: compose the settings, then train into the run folder that they name."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command, in_one_line, in_sweep, user_errors
from anomask.console.typed import Typed, quoted, read
from anomask.errors import ConfigError
from anomask.settings.compose import CONF_FOLDER, plain

if TYPE_CHECKING:
    from anomask.runs import Run

PASSED_ON = ("hydra.", "progress", "quiet")  # overrides that are of the command, not of the run


def main(arguments: Sequence[str] | None = None) -> None:
    """Train a new run, or go on with the one that ``resume=`` names."""
    with in_one_line("train"):
        typed = read("train", sys.argv[1:] if arguments is None else arguments)
    if typed.asks_for_text or not any(text.lstrip("+").startswith("resume=") for text in typed.overrides):
        new_run(arguments)
        return
    with user_errors():
        resume(typed)


def _check(settings: dict[str, Any]) -> None:
    from anomask.training.devices import check_device

    check_device(settings["trainer"])


@command("train", check=_check)
def new_run(config: DictConfig) -> float | None:
    """Compose the settings from conf/train.yaml and the command line, and train."""
    from anomask.runs import Run
    from anomask.runs.commit import current_commit
    from anomask.sweeps.job import note_skipped, require_own_folder
    from anomask.training.jobs import has_begun, train_job
    from anomask.training.train import train

    run = Run(Path(HydraConfig.get().runtime.output_dir))
    _refuse_a_sweep_of_processes(config)
    config.run = str(run.folder)
    if in_sweep():
        return train_job(plain(config), run, Path(HydraConfig.get().sweep.dir))
    require_own_folder(run, plain(config))
    if run.finished:  # run=<folder> names a run with these very settings
        note_skipped(run, current_commit())
        return None
    # The second process of a distributed job comes here too, and goes on where the first one does.
    train(plain(config), run, resume=has_begun(run) or False)
    _say_next(run, HydraConfig.get().overrides.task)
    return None


def resume(typed: Typed) -> None:
    """Go on with a run: with its own settings, and those beside ``resume=`` that may be changed.

    The run is found before Hydra makes a folder, and Hydra gets nothing else to compose: what is in the run's .hydra
    is how it began.
    """
    from anomask.runs.next_command import typed_for
    from anomask.settings.resume import parse, value_of
    from anomask.training.resume import go_on, resumption

    if typed.flags.multirun:
        raise ConfigError("resume= goes on with one run; a sweep goes on when it is started again. Leave -m out.")
    overrides = parse(typed.overrides)
    values = {override.key_or_group: value_of(override) for override in overrides}
    runs = values.get("paths.runs") or os.environ.get("ANOMASK_RUNS", "runs")
    own = [one for one in overrides if one.key_or_group != "resume" and not one.key_or_group.startswith(PASSED_ON)]
    plan = resumption(str(values["resume"]), str(runs), own)
    passed = [one.input_line for one in overrides if one.key_or_group.startswith(PASSED_ON)]

    def work(config: DictConfig) -> None:
        go_on(plan)
        _say_next(plan.run, typed_for(plan.run))

    command("train")(work)([f"hydra.run.dir={quoted(str(plan.run.folder))}", "hydra.output_subdir=null", *passed])


def _say_next(run: "Run", typed: Sequence[str]) -> None:
    from pytorch_lightning.utilities import rank_zero_only

    from anomask.runs.next_command import after_codebook, after_training, say_next

    if rank_zero_only.rank:
        return
    if run.read_settings()["stage"]["name"] == "codebook":
        experiments = [file.stem for file in (CONF_FOLDER / "experiment").glob("*.yaml")]
        following = after_codebook(run, typed, experiments)
    else:
        parts = (run.read_fingerprint() or {}).get("parts", [{"split": "test"}])  # None: it was not verified
        following = after_training(run, any(part["split"] == "test" for part in parts))
    say_next(following)


def _refuse_a_sweep_of_processes(config: DictConfig) -> None:
    # Without srun, Lightning starts further processes by repeating the command, which would be the whole sweep.
    count = config.trainer.devices * config.trainer.num_nodes
    if count > 1 and in_sweep() and "SLURM_NTASKS" not in os.environ:
        raise ConfigError(
            f"a job of this sweep wants {count} processes; jobs of a sweep have one each where SLURM does not start "
            "them. Use device=gpu or device=cpu, or run the jobs one by one."
        )


if __name__ == "__main__":
    cli.main(["train", *sys.argv[1:]])
