"""Whether the machine has what conf/device asks for."""

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator

from anomask.errors import ConfigError


def check_device(trainer: Mapping[str, Any]) -> None:
    """Compare the devices that are asked for with those that are there.

    Args:
        trainer: settings of a run's trainer.

    Raises:
        ConfigError: there is no GPU, or fewer than are asked for.
    """
    if trainer.get("accelerator") not in ("gpu", "cuda", "mps"):
        return
    count = CUDAAccelerator.auto_device_count() or int(MPSAccelerator.is_available())
    wanted = trainer.get("devices")
    if count == 0:
        raise ConfigError(
            "no GPU is seen, and the settings ask for one (device=gpu, ddp or multinode). Use device=cpu; or see that "
            "torch is built for your GPU, that a driver is there and CUDA_VISIBLE_DEVICES is not empty."
        )
    if isinstance(wanted, int) and wanted > count:
        raise ConfigError(
            f"trainer.devices={wanted}, but this machine has {count} GPU(s). Use trainer.devices={count}."
        )
