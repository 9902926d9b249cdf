"""The last step of a training validates and is saved, whatever the interval between validations."""

import math

import pytorch_lightning as pl


class LastStep(pl.Callback):
    """Has the last step validated: without it, steps after the last whole interval would be kept nowhere."""

    def __init__(self) -> None:
        self.last: float = math.inf

    def on_train_start(self, trainer: pl.Trainer, stage: pl.LightningModule) -> None:
        """Note which step is the last; where early stopping said so before the run was cut off, none is left."""
        self.last = trainer.estimated_stepping_batches
        if any(stopping.wait_count >= stopping.patience for stopping in trainer.early_stopping_callbacks):
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Let the training stop as early stopping does, which validates first; at this step it ends anyway."""
        if trainer.global_step >= self.last:
            trainer.should_stop = True
            trainer.check_val_every_n_epoch = None
