"""Train one stage: compose the settings, then train into the run folder that they name."""

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command, in_sweep, user_errors
from anomask.errors import ConfigError
from anomask.settings.compose import CONF_FOLDER, plain

if TYPE_CHECKING:
    from anomask.runs import Run

PASSED_ON = ("hydra.", "progress", "quiet")  # overrides that are of the command, not of the run


def main() -> Any:
    """Train a new run, or go on with the one that ``resume=`` names."""
    given = get_args_parser().parse_args()
    asks_for_text = given.help or given.hydra_help or given.cfg or given.info or given.shell_completion
    if asks_for_text or not any(text.lstrip("+").startswith("resume=") for text in given.overrides):
        return new_run()
    with user_errors():
        return resume(given)


@command("train")
def new_run(config: DictConfig) -> float | None:
    """Compose the settings from conf/train.yaml and the command line, and train."""
    from anomask.runs import Run
    from anomask.sweeps.job import require_own_folder
    from anomask.training.jobs import has_begun, train_job
    from anomask.training.train import train

    run = Run(Path(HydraConfig.get().runtime.output_dir))
    _refuse_a_sweep_of_processes(config)
    config.run = str(run.folder)
    if in_sweep():
        return train_job(plain(config), run, Path(HydraConfig.get().sweep.dir))
    require_own_folder(run, plain(config))
    # The second process of a distributed job comes here too, and goes on where the first one does.
    train(plain(config), run, resume=has_begun(run) or False)
    _say_next(run, HydraConfig.get().overrides.task)
    return None


def resume(given: Namespace) -> None:
    """Go on with a run: with its own settings, and those beside ``resume=`` that may be changed.

    The run is found before Hydra makes a folder, and Hydra gets nothing else to compose: what is in the run's .hydra
    is how it began.
    """
    from anomask.runs.next_command import typed_for
    from anomask.settings.resume import parse, value_of
    from anomask.training.resume import go_on, resumption

    if given.multirun:
        raise ConfigError("resume= goes on with one run; a sweep goes on when it is started again. Leave -m out.")
    overrides = parse(given.overrides)
    values = {override.key_or_group: value_of(override) for override in overrides}
    runs = values.get("paths.runs") or os.environ.get("ANOMASK_RUNS", "runs")
    own = [one for one in overrides if one.key_or_group != "resume" and not one.key_or_group.startswith(PASSED_ON)]
    plan = resumption(str(values["resume"]), str(runs), own)
    passed = [one.input_line for one in overrides if one.key_or_group.startswith(PASSED_ON)]
    folder = str(plan.run.folder).replace("\\", "\\\\").replace("'", "\\'")
    typed, sys.argv = sys.argv, [sys.argv[0], f"hydra.run.dir='{folder}'", "hydra.output_subdir=null", *passed]

    def work(config: DictConfig) -> None:
        sys.argv = typed  # Lightning starts the other processes of a training with it
        go_on(plan)
        _say_next(plan.run, typed_for(plan.run))

    try:
        command("train")(work)()
    finally:
        sys.argv = typed


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
