"""Train one stage: compose the settings, then train into the run folder that they name."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command, in_sweep
from anomask.errors import ConfigError
from anomask.settings.compose import CONF_FOLDER, plain

if TYPE_CHECKING:
    from anomask.runs.folder import Run


@command("train")
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
    _say_next(run, HydraConfig.get().overrides.task)
    return None


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
