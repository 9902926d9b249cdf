"""A training that is told to end: it ends after its step, keeps it, and says how to go on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl

from anomask.interruption import Stopped, listen, stoppable
from anomask.runs.folder import Run
from anomask.runs.next_command import command

log = logging.getLogger(__name__)


class Stopping(pl.Callback):
    """Ends a training on SIGTERM or Ctrl-C at the end of a step, whose state is saved as the last checkpoint.

    A resumed run then equals one that was never stopped: nothing is validated that would not have been. Before the
    first step and after the last one, and at a second signal, it ends at once.

    Args:
        run: its folder.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.number: int | None = None  # of the signal
        self.asked = False  # by a signal to any process of the training
        self.training = False
        self.saved = -1  # the step that the last checkpoint holds

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Handle signals in the block, and say how to go on.

        Raises:
            Stopped: there was one.
        """
        try:
            with stoppable(self.stop):
                yield
        except Stopped as stop:
            kept = self.run.checkpoint_file("last").is_file()
            go_on = command("train", f"resume={self.run.folder}")
            todo = f"Go on with: {go_on}" if kept else "Nothing is kept yet; start it again."
            log.error("training was interrupted (%s)%s. %s", stop.name, self._place(), todo)
            raise Stopped(stop.number, said=True) from None

    def stop(self, number: int) -> None:
        """Take a signal."""
        if not self.training or self.number is not None:
            raise Stopped(number)
        self.number = number

    def on_train_start(self, trainer: pl.Trainer, stage: pl.LightningModule) -> None:
        """Put our handlers in place of Lightning's, which end a training without keeping it."""
        listen(self.stop)
        self.training = True

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        """End, where the step before is kept."""
        asked = self.asked or (trainer.world_size == 1 and self.number is not None)
        if asked and self.saved == trainer.global_step:
            self._end(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Keep this step, unless a validation comes now, which does so at its end."""
        told = self.number is not None
        self.asked = trainer.strategy.reduce_boolean_decision(told, all=False) if trainer.world_size > 1 else told
        loop = trainer.fit_loop.epoch_loop
        between_steps = not loop._should_accumulate()
        if self.asked and between_steps and not loop._should_check_val_fx(trainer.fit_loop._data_fetcher):
            trainer.save_checkpoint(self.run.checkpoint_file("last"), weights_only=False)
            self.saved = trainer.global_step

    def on_validation_end(self, trainer: pl.Trainer, stage: pl.LightningModule) -> None:
        """Note that the last checkpoint is of this step."""
        if self.training:
            self.saved = trainer.global_step

    def on_train_end(self, trainer: pl.Trainer, stage: pl.LightningModule) -> None:
        """End here, too, if that was asked for in the last step."""
        self.training = False
        if self.asked or self.number is not None:
            self._end(trainer)

    def on_exception(self, trainer: pl.Trainer, stage: pl.LightningModule, exception: BaseException) -> None:
        """Keep nothing any more."""
        self.training = False

    def _end(self, trainer: pl.Trainer) -> None:
        if not trainer.is_global_zero:
            raise SystemExit(0)  # Lightning kills all processes as soon as one of them fails
        raise Stopped(self.number or 15)

    def _place(self) -> str:
        return f" at step {self.saved}" if self.saved >= 0 else ""
