"""The trainer of a run with its logger and callbacks: all that they write goes into the run's folder."""

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.loggers import Logger

from anomask.errors import ConfigError
from anomask.runs.checkpoints import follow, write_checkpoint
from anomask.runs.folder import Run

Settings = dict[str, Any]

# What takes a folder, and which one of the run folder it gets: never a path out of settings, which may be older.
PLACES = {
    "anomask.callbacks.pictures.Pictures": ("folder", "pictures"),
    "pytorch_lightning.callbacks.ModelCheckpoint": ("dirpath", "checkpoints"),
    "pytorch_lightning.loggers.CSVLogger": ("save_dir", ""),
    "pytorch_lightning.loggers.TensorBoardLogger": ("save_dir", ""),
}
OF_A_TASK = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")  # srun gives them to every task


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints beside their target, whole or not at all; reads those of a run that was moved.

    Lightning's own writes them to the system's folder for temporary files: on another file system, a killed process
    or a full disk leaves half a checkpoint in the place of the previous one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        write_checkpoint(Path(path), checkpoint)

    def load_checkpoint(self, path: str | Path, *args: Any, **named: Any) -> dict[str, Any]:
        """Read a checkpoint."""
        return follow(super().load_checkpoint(path, *args, **named), Path(path).parent)


def build_logger(settings: Settings, run: Run, goes_on: bool, codebook: Run | None) -> Logger:
    """Build the logger; ours, of W&B, also takes what the run is.

    Args:
        settings: a run's settings.
        run: its folder.
        goes_on: whether what was tracked of this folder before is the same run.
        codebook: the run whose codebook it stands on, or None.
    """
    if not settings["logger"]["_target_"].startswith("anomask."):
        return instantiate(_placed(settings["logger"], run))
    logger = instantiate(settings["logger"], _partial_=True, _convert_="all")
    return logger(settings=settings, run=run, goes_on=goes_on, codebook=codebook)


def place_of(logger: Logger, run: Run) -> str:
    """Say where a logger has put what it was told."""
    if hasattr(logger, "place"):
        return logger.place
    file = run.folder / "metrics.csv"
    return str(file if file.is_file() else logger.log_dir)


def build_callbacks(settings: Settings, run: Run) -> list[pl.Callback]:
    """Build the callbacks of a run."""
    return [instantiate(_placed(callback, run)) for callback in settings["callbacks"].values()]


def build_trainer(settings: Settings, run: Run, logger: Logger, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Build the trainer.

    Args:
        settings: a run's settings.
        run: its folder.
        logger: of `build_logger`.
        callbacks: of `build_callbacks`, and whatever else.

    Raises:
        ConfigError: SLURM has started this process in a way that Lightning cannot use.
    """
    missing = [name for name in OF_A_TASK if name not in os.environ]
    if _under_slurm() and missing:
        raise ConfigError(_by_srun(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set"))
    given = dict(settings["trainer"])
    plugins = given.pop("plugins", None) or []
    plugins = plugins if isinstance(plugins, list) else [plugins]
    plugins = [instantiate(plugin) if isinstance(plugin, dict) else plugin for plugin in plugins]
    try:
        return instantiate(
            given,
            logger=logger,
            callbacks=callbacks,
            plugins=[*plugins, WholeCheckpoints()],
            default_root_dir=str(run.folder),
            _convert_="all",
        )
    except InstantiationException as error:
        if _under_slurm() and "SLURM" in str(error.__cause__):
            raise ConfigError(_by_srun(str(error.__cause__).splitlines()[0])) from error
        raise


def _placed(node: Settings, run: Run) -> Settings:
    if node["_target_"] not in PLACES:
        return node
    name, place = PLACES[node["_target_"]]
    return node | {name: str(run.folder / place)}


def _under_slurm() -> bool:
    return "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive")


def _by_srun(fault: str) -> str:
    return (
        f"SLURM_NTASKS is {os.environ['SLURM_NTASKS']}, but this process is no task of srun ({fault}). Start it with "
        "srun (docs/howto/clusters.md), or unset SLURM_NTASKS to train in one process."
    )
