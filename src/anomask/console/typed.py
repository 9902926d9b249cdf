"""What was typed after a verb: options, and overrides whose text arrives as it is, without Hydra's grammar."""

import argparse
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from hydra._internal.utils import get_args_parser  # of what hydra.main accepts, there is no other list
from hydra.conf import HydraConf
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import OmegaConf

from anomask.errors import ConfigError, did_you_mean
from anomask.settings.compose import CONF_FOLDER, schema_of
from anomask.settings.hints import arguments_of, hint_of, is_text

OVERRIDE = re.compile(r"(\+{0,2})([A-Za-z_][\w.]*)=(.*)", re.DOTALL)
QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
OF_HYDRA = ("", "null", "???")  # values that say there is none
SAFE = re.compile(
    r"(?!(?:true|false|nan|inf)$)(?:[A-Z_/]|\.\.?/)[\w/.-]*", re.ASCII | re.IGNORECASE
)  # text without quotes
SWEPT = re.compile(r",|^\w+\(")  # with -m: several values, or choice(...), glob(...), range(...)
OF_PLUGINS = ("hydra.sweeper.file",)  # text, of a plugin that HydraConf knows nothing of


class Typed(NamedTuple):
    """What was asked of a command."""

    options: list[str]
    overrides: list[str]  # as Hydra reads them
    flags: argparse.Namespace

    @property
    def asks_for_text(self) -> bool:
        """Whether nothing is to be done but to print: help, settings, what Hydra knows."""
        return any(getattr(self.flags, name) for name in ("help", "cfg", "info", "hydra_help", "shell_completion"))

    @property
    def plain(self) -> bool:
        """Whether this is one run with the command's own settings, and no look at them."""
        other = ("multirun", "config_path", "config_name", "experimental_rerun")
        asked = self.asks_for_text or any(getattr(self.flags, name) for name in other)
        return not asked and not any(
            o.lstrip("+").startswith(("hydra.searchpath", "hydra.mode")) for o in self.overrides
        )


def read(verb: str, arguments: Sequence[str]) -> Typed:
    """Tell options from overrides, in whatever order, and quote text for Hydra's grammar.

    Raises:
        ConfigError: an option that there is none of.
    """
    parser = get_args_parser()
    parser.exit_on_error = False
    parser.error = _refuse  # a line in place of argparse's usage of forty
    known = parser._option_string_actions
    for argument in arguments:
        name = argument.split("=")[0]
        if name.startswith("--") and not any(option.startswith(name) for option in known):
            raise ConfigError(
                f"no option {argument}{did_you_mean(name, known) or '.'} Settings are key=value, without dashes."
            )
    try:
        flags = parser.parse_intermixed_args(list(arguments))
    except argparse.ArgumentError as error:
        _refuse(str(error))
    if flags.config_dir and not Path(flags.config_dir).is_dir():
        raise ConfigError(f"--config-dir {flags.config_dir}: no such folder.")
    left = list(flags.overrides)
    options = [one for one in arguments if not (one in left and left.remove(one) is None)]
    sweep = flags.multirun or "hydra.mode=MULTIRUN" in flags.overrides
    return Typed(options, [as_typed(verb, one, sweep) for one in flags.overrides], flags)


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"{message}. Settings are key=value, without dashes.")


def as_typed(verb: str, override: str, sweep: bool = False) -> str:
    """Quote the value of a key that holds text, so that it arrives as it is; interpolations stay.

    Args:
        verb: the command.
        override: as typed.
        sweep: whether a comma separates values; a value with one is left to Hydra then.
    """
    match = OVERRIDE.fullmatch(override)
    if match is None:
        return override
    how, key, value = match.groups()
    swept = sweep and not key.startswith("hydra.") and SWEPT.search(QUOTED.sub("", value))
    if value in OF_HYDRA or SAFE.fullmatch(value) or QUOTED.fullmatch(value) or swept:
        return override
    return f"{how}{key}={quoted(value)}" if holds_text(verb, key) else override


def quoted(text: str) -> str:
    """Quote text for Hydra's grammar."""
    return QuotedString(text, Quote.single).with_quotes()


def holds_text(verb: str, key: str) -> bool:
    """Say whether a key holds text: by the schemas, else by the files in conf/, else by the class that takes it."""
    root, _, below = key.partition(".")
    if root == "hydra":
        return key in OF_PLUGINS or is_text(hint_of(HydraConf, below))
    hint = hint_of(schema_of(verb), key)
    if hint not in (None, Any):
        return is_text(hint)
    found = [value for file in _group(root) for value in _values(file, below.split("."))]
    if any(isinstance(value, str) and not re.fullmatch(r"\$\{[^{}]*\}|\?\?\?", value) for value, _ in found):
        return True
    takers = {target for value, target in found if value is None and target}
    return any(is_text(arguments_of(target)[0].get(key.rpartition(".")[2])) for target in takers)


@cache
def _group(name: str) -> list[dict]:
    files = sorted((CONF_FOLDER / name).glob("*.yaml"))
    return [OmegaConf.to_container(OmegaConf.load(file)) for file in files]


def _values(node: Any, names: list[str]) -> Iterator[tuple[Any, str | None]]:
    # The value that a file gives to a key, and the class that takes it.
    target = None
    for name in names:
        if not isinstance(node, dict) or name not in node:
            return
        target, node = node.get("_target_"), node[name]
    yield node, target
