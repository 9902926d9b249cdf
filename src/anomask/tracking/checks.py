"""Loggers as they are asked for: their keys and values are understood before a training, not after it."""

import difflib
import inspect
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from hydra.utils import get_class

from anomask.errors import ConfigError

HYDRA = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")
OURS = ("settings", "run", "goes_on", "codebook")  # what our own logger is given beside its settings
PLAIN = (bool, int, float, str, type(None))


def require_logger(node: dict[str, Any]) -> None:
    """Make sure that a logger can be built from its settings.

    Args:
        node: settings of a logger.

    Raises:
        ConfigError: a key that it does not have, or a value of another type.
    """
    logger = get_class(node["_target_"])
    known = _parameters(logger)
    for name, value in node.items():
        if name in HYDRA:
            continue
        if known is not None and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(
                f"logger.{name} is nothing that {logger.__name__} knows. {f'Did you mean {near[0]}? ' if near else ''}"
                f"It takes {', '.join(sorted(known))}."
            )
        wanted = (known or {}).get(name, Any)
        if not _fits(value, wanted):
            kinds = " or ".join(str(getattr(kind, "__name__", kind)) for kind in _kinds(wanted))
            raise ConfigError(f"logger.{name} is {value!r}; wanted is {kinds.replace('NoneType', 'null')}.")
    if hasattr(logger, "check"):
        logger.check(node)


def _parameters(logger: type) -> dict[str, Any] | None:
    # Name -> type; None where anything may be given.
    found = {}
    hints = get_type_hints(logger.__init__)
    for name, parameter in list(inspect.signature(logger.__init__).parameters.items())[1:]:
        if parameter.kind is not parameter.VAR_KEYWORD:
            found |= {} if name in OURS else {name: hints.get(name, Any)}
        elif (keys := get_args(parameter.annotation)) and hasattr(keys[0], "__required_keys__"):
            found |= get_type_hints(keys[0])
        elif (keys := _handed_on(logger)) is not None:
            found |= keys
        else:
            return None
    return found


def _handed_on(logger: type) -> dict[str, Any] | None:
    # What Lightning's logger for TensorBoard hands on to its writer.
    if logger.__name__ != "TensorBoardLogger":
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError("logger=tensorboard needs a package: pip install 'anomask[tensorboard]'.") from None
    return dict.fromkeys(list(inspect.signature(SummaryWriter.__init__).parameters)[1:], Any)


def _kinds(wanted: Any) -> tuple[Any, ...]:
    return get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)


def _fits(value: Any, wanted: Any) -> bool:
    kinds = _kinds(wanted)
    if get_origin(wanted) is list:
        return isinstance(value, list) and all(_fits(one, get_args(wanted)[0]) for one in value)
    if len(kinds) > 1:
        return any(_fits(value, kind) for kind in kinds)
    if wanted not in PLAIN:
        return True  # a class of its own, which its constructor judges
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, (int, float) if wanted is float else wanted)
