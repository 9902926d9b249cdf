"""What may be changed when a run goes on: how long, where things are, what is logged; never what is learned."""

from collections.abc import Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from anomask.errors import ConfigError
from anomask.settings.compose import CONF_FOLDER, plain
from anomask.settings.key import moved
from anomask.settings.ranges import check_ranges

BUDGET = ("trainer.max_steps", "trainer.max_epochs", "trainer.max_time")
THRESHOLD = ("scoring.specificity", "scoring.pixel_specificity")  # fixed after training
PLACES = (
    "paths",
    "data.folder",
    "data.cache",
    "data.cache_folder",
    "data.cache_rate",
    "data.num_workers",
    "codebook_run",
)
SHOWN = ("logger", "verify", "progress", "quiet", "trainer.log_every_n_steps", "trainer.enable_progress_bar")
MAY = (*BUDGET, *THRESHOLD, *PLACES, *SHOWN, "callbacks")
FIXED = ("callbacks.best", "callbacks.last")  # whose state the checkpoints hold


def parse(texts: Sequence[str]) -> list[Override]:
    """Parse overrides of the command line.

    Raises:
        ConfigError: one is not in Hydra's grammar.
    """
    try:
        return OverridesParser.create().parse_overrides(list(texts))
    except HydraException as error:
        raise ConfigError(
            f"{' '.join(str(error).split())} Put a value with such signs into quotes: key=\"'value'\""
        ) from error


def value_of(override: Override) -> Any:
    """Return the value of an override.

    Raises:
        ConfigError: it has several, which is a sweep.
    """
    if override.is_sweep_override():
        raise ConfigError(f"{override.input_line} has several values; a run that goes on takes one.")
    return override.value()


def callbacks_typed(overrides: Sequence[Override]) -> dict[str, Any]:
    """Return the callbacks that overrides add: the user's own words, which may name any class."""
    added = OmegaConf.create({})
    for override in overrides:
        if override.is_add() and override.key_or_group.startswith("callbacks."):
            OmegaConf.update(added, override.key_or_group, value_of(override), force_add=True)
    return plain(added).get("callbacks", {})


def resumed(saved: dict[str, Any], overrides: Sequence[Override]) -> dict[str, Any]:
    """Return a run's settings as it goes on.

    Args:
        saved: its settings, see `anomask.settings.targets.checked`.
        overrides: what is typed beside ``resume=``.

    Raises:
        ConfigError: a setting that cannot be changed any more, that there is not, or a number out of range.
    """
    config = OmegaConf.create(saved)
    for override in overrides:
        name = override.key_or_group
        if name == "logger" and not override.is_delete():
            config.logger = _logger(saved, value_of(override))
            continue
        _require_changeable(config, override)
        if override.is_delete():
            above, _, last = name.rpartition(".")
            OmegaConf.select(config, above).pop(last, None)
        else:
            OmegaConf.update(config, name, value_of(override), force_add=True)
    try:
        found = plain(config)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error
    for name in ("data", "cache"):  # of what a place was made of when the run began
        found["data"] = moved(found["data"], str(saved["paths"][name]), str(found["paths"][name]))
    check_ranges(found)
    return found


def _require_changeable(config: Any, override: Override) -> None:
    name, now = override.key_or_group, OmegaConf.select(config, override.key_or_group)
    if not override.is_delete() and now is not None and now == value_of(override):
        return  # the whole command line again
    if not _below(name, MAY) or _below(name, FIXED):
        raise ConfigError(
            f"{name} cannot be changed when a run goes on (it is {now!r} there). Leave it out, or train a new run. "
            f"What may be given: {', '.join(MAY)}."
        )
    if now is None and not override.is_add() and not _below(name, ("logger", *BUDGET)) and not override.is_delete():
        raise ConfigError(f"the run has no setting {name}. Correct the name, or add it with +{name}=...")
    if name in BUDGET[:2] and not isinstance(value_of(override), int):
        raise ConfigError(f"{name} is {value_of(override)!r}; wanted is a whole number.")


def _logger(saved: dict[str, Any], choice: Any) -> Any:
    initialised = GlobalHydra.instance().is_initialized()
    try:
        if initialised:
            return compose("train", [f"logger={choice}"]).logger
        with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
            return compose("train", [f"logger={choice}"]).logger
    except HydraException as error:
        raise ConfigError(" ".join(str(error).split())) from error


def _below(name: str, groups: Sequence[str]) -> bool:
    return f"{name}.".startswith(tuple(f"{group}." for group in groups))
