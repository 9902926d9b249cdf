"""How far a training is, in steps of all its steps: one bar on a terminal, a line after each validation in the log."""

import logging
import math
import time

import pytorch_lightning as pl
from tqdm import tqdm

from anomask.progress import drawn, shown, spoken

log = logging.getLogger(__name__)

REDRAW = 0.5  # seconds; reading the loss waits for the device


class Progress(pl.Callback):
    """Says step, loss, the figure that chooses `best`, and how long it will take.

    Args:
        monitor: name of that figure.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self.first, self.started, self.redrawn = 0, 0.0, 0.0
        self.total: float = math.inf
        self.bar: tqdm | None = None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Begin to count, at the step where a resumed run is."""
        self.first, self.started = trainer.global_step, time.monotonic()
        self.total = trainer.estimated_stepping_batches
        if trainer.is_global_zero and drawn():
            total = None if math.isinf(self.total) else self.total
            self.bar = tqdm(desc="train", unit="step", total=total, initial=self.first, dynamic_ncols=True)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Move the bar."""
        now = time.monotonic()
        if self.bar is not None and (now - self.redrawn > REDRAW or trainer.global_step >= self.total):
            self.redrawn = now
            self.bar.set_postfix_str(", ".join(self._figures(trainer)), refresh=False)
            self.bar.update(trainer.global_step - self.bar.n)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write a line; above the bar where there is one."""
        if trainer.is_global_zero and not trainer.sanity_checking and trainer.state.fn == "fit" and shown():
            with tqdm.external_write_mode():
                log.info("%s", self.line(trainer))

    def line(self, trainer: pl.Trainer) -> str:
        """Return how far the training is: 'step 200 of 1000, loss 0.41, val/synthetic_ap 0.52, 12 min left'."""
        step = trainer.global_step
        endless = math.isinf(self.total)
        parts = [f"step {step}" if endless else f"step {step} of {self.total:.0f}", *self._figures(trainer)]
        done, left = step - self.first, self.total - step
        if done > 0 and left > 0 and not endless:
            parts.append(f"{spoken(left * (time.monotonic() - self.started) / done)} left")
        return ", ".join(parts)

    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar: Lightning tears nothing down after an error."""
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _figures(self, trainer: pl.Trainer) -> list[str]:
        known = trainer.callback_metrics
        names = {"loss": "train/loss", self.monitor: self.monitor}
        return [f"{name} {float(known[key]):.3g}" for name, key in names.items() if key in known]
