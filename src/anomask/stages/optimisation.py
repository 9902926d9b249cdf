"""Optimiser and learning-rate schedule, built alike for both stages."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from anomask.errors import ConfigError, RunError

SCHEDULES = ("constant", "cosine")


class Optimisation:
    """How a stage's parameters are moved.

    Args:
        optimiser: parameters -> optimiser.
        schedule: 'constant', or 'cosine' down to 1 % of the rate at the end of training.
        warmup_steps: steps of a linear warm-up before it.

    Raises:
        ConfigError: an unknown schedule.
    """

    def __init__(self, optimiser: Callable[..., Optimizer], schedule: str, warmup_steps: int) -> None:
        if schedule not in SCHEDULES:
            raise ConfigError(f"stage.optimisation.schedule is {schedule!r}; use one of {', '.join(SCHEDULES)}.")
        self.optimiser, self.schedule, self.warmup_steps = optimiser, schedule, warmup_steps

    def configure(self, module: nn.Module, total_steps: float) -> dict[str, Any]:
        """Return what Lightning's `configure_optimizers` wants, the schedule stepped once a training step.

        Args:
            module: its parameters that require a gradient are trained.
            total_steps: optimiser steps of the whole training.

        Raises:
            ConfigError: a cosine schedule without a known end.
        """
        if self.schedule == "cosine" and not 0 < total_steps < math.inf:
            raise ConfigError("stage.optimisation.schedule=cosine needs an end: set trainer.max_steps or max_epochs.")
        optimiser = self.optimiser([parameter for parameter in module.parameters() if parameter.requires_grad])
        scheduler = LambdaLR(optimiser, lambda step: self.factor(step, total_steps))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def factor(self, step: int, total_steps: float) -> float:
        """Return the rate at `step` as a multiple of the full rate."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        if self.schedule == "constant":
            return warm
        progress = min(1.0, max(0, step - self.warmup_steps) / max(1, total_steps - self.warmup_steps))
        return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def require_finite(loss: Tensor, step: int) -> Tensor:
    """Return the loss, or stop the training where it is NaN or infinite: its weights would be lost for good.

    Raises:
        RunError: the loss is not finite.
    """
    if not bool(torch.isfinite(loss)):
        raise RunError(
            f"the training loss is {float(loss.detach())} at step {step}; a finite one is wanted. Lower "
            "stage.optimisation.optimiser.lr or train in trainer.precision=32-true; checkpoints/last.ckpt is older."
        )
    return loss
