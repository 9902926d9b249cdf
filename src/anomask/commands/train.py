"""Train one stage: compose the settings, then train into the run folder that they name."""

import os
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command, in_sweep
from anomask.errors import ConfigError
from anomask.settings.compose import plain


def _check(settings: dict[str, Any]) -> None:
    from anomask.training.devices import check_device

    check_device(settings["trainer"])


@command("train", check=_check)
def main(config: DictConfig) -> float | None:
    """Compose the settings from conf/train.yaml and the command line, and train."""
    from anomask.runs.folder import Run
    from anomask.sweeps.job import has_begun
    from anomask.training.train import train, train_job

    run = Run(Path(HydraConfig.get().runtime.output_dir))
    if config.resume:
        train(run.read_settings(), run, resume=True)
        return None
    _refuse_a_sweep_of_processes(config)
    config.run = str(run.folder)
    if in_sweep():
        return train_job(plain(config), run, Path(HydraConfig.get().sweep.dir))
    # The second process of a distributed job comes here too, and goes on where the first one does.
    train(plain(config), run, resume=has_begun(run))
    return None


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
