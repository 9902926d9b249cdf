"""What can be known before the first step: a training that would leave nothing that can be used is refused."""

import math
from typing import Any

import pytorch_lightning as pl

from anomask.errors import ConfigError

Settings = dict[str, Any]

# Values of Trainer arguments with which nothing is trained, validated or saved.
KEEPS_NOTHING = {
    "fast_dev_run": bool,
    "barebones": bool,
    "enable_checkpointing": lambda value: value is False,
    "max_steps": lambda value: value == 0,
    "max_epochs": lambda value: value == 0,
    "limit_train_batches": lambda value: value == 0,
    "limit_val_batches": lambda value: value == 0,
}
CHECKPOINTS = ("best", "last")


def require_results(settings: Settings) -> None:
    """Make sure that a training will leave checkpoints.

    Raises:
        ConfigError: the trainer's or the callbacks' settings keep it from that.
    """
    trainer, callbacks = settings["trainer"], settings["callbacks"]
    for name, keeps_nothing in KEEPS_NOTHING.items():
        value = trainer.get(name)
        if value is not None and keeps_nothing(value):
            raise ConfigError(
                f"trainer.{name} is {value}: nothing would be trained, validated or kept. Leave it out; for a quick "
                "trial use trainer.max_steps=2."
            )
    writers = [node for node in callbacks.values() if node["_target_"].endswith(".ModelCheckpoint")]
    written = {node.get("filename") for node in writers if node.get("save_top_k", 1) != 0}
    if lost := [name for name in CHECKPOINTS if name not in written]:
        raise ConfigError(
            f"no callback writes checkpoints/{lost[0]}.ckpt, without which a run cannot be used or resumed. Leave "
            f"callbacks.{lost[0]} as conf/callbacks/default.yaml has it."
        )


def require_data(settings: Settings, data: pl.LightningDataModule) -> None:
    """Make sure that the data give an epoch in which validation comes; see also `anomask.training.checks`.

    Raises:
        ConfigError: an epoch too short for the validation interval.
    """
    trainer = settings["trainer"]
    interval, batches = trainer["val_check_interval"], len(data.train_dataloader())
    whole_epochs = trainer.get("check_val_every_n_epoch", 1) is not None
    if whole_epochs and isinstance(interval, int) and interval > batches:
        raise ConfigError(
            f"trainer.val_check_interval is {interval} batches and an epoch has {batches}: no validation would come. "
            f"Use at most {batches}, or trainer.check_val_every_n_epoch=null to count over epochs."
        )


def require_steps_to_go(settings: Settings, done: int) -> None:
    """Make sure that a resumed training does not end before it begins.

    Args:
        settings: of the run as it is to go on.
        done: steps that it has made.

    Raises:
        ConfigError: it has made more steps than it may.
    """
    steps = settings["trainer"].get("max_steps", -1)
    if 0 <= (math.inf if steps in (None, -1) else steps) < done:
        raise ConfigError(f"trainer.max_steps is {steps}, and the run has made {done} steps. Use at least {done}.")
