"""Which classes a saved run may name: a run folder from somebody else must not run code of its choice.

Settings that a user types may name any class, their own too. Settings that are read from a run folder (config.yaml, and
those inside a checkpoint) may name what this package defines for the purpose, and a short list of other libraries'.
``ANOMASK_TRUST=mypackage,other.Class`` allows more: a package, a module or a class.
"""

import logging
import os
import re
from collections.abc import Iterator
from copy import deepcopy
from importlib import import_module
from typing import Any

from anomask.errors import RunError

log = logging.getLogger(__name__)

TRUST = "ANOMASK_TRUST"

# Where classes were when older runs were saved.
RENAMED = {
    "anomask.data.datamodule.SliceDataModule": "anomask.data.loading.datamodule.SliceDataModule",
    "anomask.data.phantom_datamodule.PhantomDataModule": "anomask.data.phantom.datamodule.PhantomDataModule",
    "anomask.tracking.TrainingLogger": "anomask.tracking.training.TrainingLogger",
}
# What these packages define is built from numbers and tensors; a class of one's own put there is as good as theirs.
ROOMS = ("models", "losses", "synthesis", "scoring", "baselines")
TRANSFORMS = (
    "RandFlipd RandAffined RandRotated RandZoomd Rand2DElasticd RandGaussianSmoothd RandGaussianSharpend "
    "RandGaussianNoised RandHistogramShiftd RandAdjustContrastd RandScaleIntensityd RandShiftIntensityd "
    "RandBiasFieldd RandCoarseDropoutd"
)
OTHERS = frozenset(
    [
        "anomask.callbacks.batch_norm.JointBatchNorm",
        "anomask.callbacks.pictures.Pictures",
        "anomask.callbacks.progress.Progress",
        "anomask.data.loading.datamodule.SliceDataModule",
        "anomask.data.phantom.datamodule.PhantomDataModule",
        "anomask.stages.optimisation.Optimisation",
        "anomask.tracking.training.TrainingLogger",
        "pytorch_lightning.Trainer",
        "pytorch_lightning.callbacks.EarlyStopping",
        "pytorch_lightning.callbacks.LearningRateMonitor",
        "pytorch_lightning.callbacks.ModelCheckpoint",
        "pytorch_lightning.callbacks.TQDMProgressBar",
        "pytorch_lightning.loggers.CSVLogger",
        "pytorch_lightning.loggers.TensorBoardLogger",
        "pytorch_lightning.strategies.DDPStrategy",
        *(f"torch.optim.{name}" for name in ("Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "SGD")),
        *(f"monai.transforms.{name}" for name in TRANSFORMS.split()),
    ]
)


def checked(settings: dict[str, Any], where: object, typed: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a saved run's settings, ready to be built: old names replaced, nothing foreign in them.

    Args:
        settings: as they were read.
        where: the file, for errors.
        typed: callbacks that the user has named beside them and thereby trusts.

    Returns:
        a copy; callbacks of unknown classes are left out, with a warning: they change nothing that was learned

    Raises:
        RunError: a class or function that a saved run may not name, or a reference that would be resolved later.
    """
    settings = renamed(deepcopy(settings))
    callbacks = settings.get("callbacks")
    if isinstance(callbacks, dict):
        for name, node in list(callbacks.items()):
            if foreign := [target for _, target in _targets(node) if not allowed(target)]:
                log.warning(
                    "callbacks.%s of %s is left out: it names %s, which is not part of anomask. %s=%s keeps it.",
                    *(name, where, foreign[0], TRUST, _package(foreign[0])),
                )
                del callbacks[name]
        callbacks |= {name: node for name, node in (typed or {}).items() if name not in callbacks}
    for place, target in _targets({name: node for name, node in settings.items() if name != "callbacks"}):
        if not allowed(target):
            raise RunError(
                f"{where} names {place} = {target!r}, which is not part of anomask and could run any code. Open runs "
                f"of people you trust alone; if you know this one, say so: {TRUST}={_package(target)}"
            )
    for place, text in _references(settings):
        raise RunError(
            f"{where} has {place} = {text!r}; wanted are plain values, as anomask train writes them. Was it edited by "
            "hand? Write the value itself."
        )
    return settings


def renamed(node: Any) -> Any:
    """Return settings with the names that classes have today."""
    if isinstance(node, dict):
        node = {key: renamed(value) for key, value in node.items()}
        if isinstance(node.get("_target_"), str):
            node["_target_"] = RENAMED.get(node["_target_"], node["_target_"])
        return node
    return [renamed(value) for value in node] if isinstance(node, list | tuple) else node


def allowed(target: Any) -> bool:
    """Say whether a saved run may name this class or function."""
    if not isinstance(target, str) or not re.fullmatch(r"\w+(\.\w+)+", target):
        return False
    trusted = [name.strip() for name in os.environ.get(TRUST, "").split(",")]
    if any(name and f"{target}.".startswith(f"{name}.") for name in trusted):
        return True
    return target in OTHERS or _is_ours(target)


def _is_ours(target: str) -> bool:
    # Exactly a module of the rooms and one name that this module itself defines: what it imports is not meant.
    module, _, name = target.rpartition(".")
    if name.startswith("_") or not re.match(rf"anomask\.({'|'.join(ROOMS)})\.", target):
        return False
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return False
    return callable(found) and getattr(found, "__module__", None) == module


def _targets(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in _children(node):
        below = f"{place}.{key}" if place else str(key)
        if key == "_target_":
            yield below, value
        yield from _targets(value, below)


def _references(node: Any, place: str = "") -> Iterator[tuple[str, str]]:
    for key, value in _children(node):
        below = f"{place}.{key}" if place else str(key)
        for text in (key, value):
            if isinstance(text, str) and "${" in text:
                yield below, text
        yield from _references(value, below)


def _children(node: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, dict):
        yield from node.items()
    elif isinstance(node, list | tuple):
        yield from enumerate(node)


def _package(target: Any) -> str:
    return str(target).split(".")[0]
