"""What all commands share: settings composed by Hydra, help, and mistakes that end in one line and exit code 1."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import wraps
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from anomask.console import mistakes
from anomask.console.known import Known
from anomask.console.typed import Typed, read
from anomask.console.usage import usage
from anomask.errors import AnomaskError, ConfigError, find_user_error
from anomask.interruption import Stopped, stoppable
from anomask.progress import show
from anomask.settings.compose import ALONE, CONF_FOLDER, known_as, register, schema_of
from anomask.settings.hints import check_types
from anomask.settings.ranges import check_ranges

log = logging.getLogger(__name__)

RAW = "HYDRA_FULL_ERROR"  # with it Hydra raises what it would print; set by a user, nothing is put into one line


def command(
    verb: str, may_lack: Sequence[str] = (), check: Callable[[dict[str, Any]], None] | None = None
) -> Callable[[Callable[[DictConfig], Any]], Callable[..., None]]:
    """Make a function of settings a command whose settings are composed from ``conf/<verb>.yaml`` and the command line.

    What needs torch is imported inside of it: help is printed without.

    Args:
        verb: the command.
        may_lack: keys without a default that the function can do without.
        check: raises an `AnomaskError` about settings, before anything is made.
    """

    def decorate(work: Callable[[DictConfig], Any]) -> Callable[..., None]:
        @wraps(work)
        def main(arguments: Sequence[str] | None = None) -> None:
            with in_one_line(verb):
                typed = read(verb, sys.argv[1:] if arguments is None else arguments)
            known = Known(verb, typed.overrides, typed.flags.config_dir)
            with in_one_line(verb, known):
                if typed.flags.help:
                    sys.stdout.write(usage(known))
                    return
                if typed.plain:  # before Hydra makes a folder; jobs of a sweep are composed before the first one starts
                    _check(_composed(known, may_lack), verb, check)
                _start(work, typed, known, check)

        return main

    register()
    return decorate


def _composed(known: Known, may_lack: Sequence[str]) -> dict[str, Any]:
    try:
        config = known.composed()
        unread = set(config) - {field.name for field in fields(schema_of(known.verb))}
        if unread:  # Hydra lets a + add anything
            raise ConfigError(f"{', '.join(map(str, unread))}: nothing reads such a setting")
        lacking = sorted(OmegaConf.missing_keys(config) - set(may_lack))
        if not lacking:
            return OmegaConf.to_container(config, resolve=True)
    except Exception as error:  # Hydra and OmegaConf alone ran: whatever they raise is about the settings
        raise ConfigError(mistakes.explain(error, known)) from error
    raise ConfigError(mistakes.missing(lacking, known))


def _check(settings: dict[str, Any], verb: str, check: Callable[[dict[str, Any]], None] | None) -> None:
    check_types(settings, schema_of(verb))
    check_ranges(settings)
    if check is not None:
        check(settings)


def _start(
    work: Callable[[DictConfig], Any], typed: Typed, known: Known, check: Callable[[dict[str, Any]], None] | None
) -> None:
    called, verb = list(sys.argv), known.verb

    @wraps(work)
    def job(config: DictConfig) -> Any:
        with _process(called, None), user_errors(known):
            if in_sweep():
                _check(OmegaConf.to_container(config, resolve=True), verb, check)
            show(config.progress, config.quiet)
            return work(config)

    with _process([called[0], *typed.options, *typed.overrides], "1"):
        folder = None if verb in ALONE else str(CONF_FOLDER)
        hydra.main(version_base="1.3", config_path=folder, config_name=known_as(verb))(job)()


@contextmanager
def _process(arguments: list[str], raw: str | None) -> Iterator[None]:
    # Hydra reads sys.argv; Lightning repeats it for further processes, and needs what was typed.
    before = sys.argv, os.environ.pop(RAW, None)
    sys.argv = arguments
    if raw is not None:
        os.environ[RAW] = raw
    try:
        yield
    finally:
        sys.argv = before[0]
        os.environ.pop(RAW, None)
        if before[1] is not None:
            os.environ[RAW] = before[1]


@contextmanager
def in_one_line(verb: str, known: Known | None = None) -> Iterator[None]:
    """Turn a mistake in what was typed into one line and an exit code that is not 0.

    Args:
        verb: the command.
        known: what it knows; None while its arguments are read.
    """
    try:
        yield
    except (AnomaskError, HydraException, OmegaConfBaseException) as error:
        if os.environ.get(RAW) == "1":
            raise
        line = str(error) if known is None or isinstance(error, AnomaskError) else mistakes.explain(error, known)
        sys.stderr.write(f"anomask {verb}: {line}\n")
        sys.exit(2 if known is None else 1)


@contextmanager
def user_errors(known: Known | None = None) -> Iterator[None]:
    """Turn an error that a user can mend into one clear line and exit code 1, a signal into exit code 143 or 130.

    A job of a sweep raises instead of leaving, whatever its error, so that the other jobs are still done.
    """
    try:
        with stoppable():
            yield
    except Stopped as stop:
        if not stop.said:
            log.error("ended by %s", stop.name)
        raise
    except Exception as error:
        message = explain(error, known)
        if message is None:
            if in_sweep():
                log.exception("this job failed")
            raise
        log.error("%s", message)
        if in_sweep():
            raise CompactHydraException(message) from error
        sys.exit(1)


def explain(error: Exception, known: Known | None = None) -> str | None:
    """Return what to tell a user of an error, or None where that is no error of theirs."""
    if (cause := find_user_error(error)) is not None:
        return f"{type(cause).__name__}: {cause}"
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "Free space, or choose another folder." if full else "Correct the path, or its permissions."
        return f"{type(error).__name__}: {error}. {advice}"
    if isinstance(error, OmegaConfBaseException) and known is not None:
        return f"ConfigError: {mistakes.explain(error, known)}"
    if isinstance(error, InstantiationException):
        cause, where = error.__cause__ or error, str(error).partition("full_key: ")[2] or "settings"
        said = " ".join(f"{type(cause).__name__}: {cause}".split())
        return f"ConfigError: {where}: nothing can be made of these settings: {said}"
    return None


def in_sweep() -> bool:
    """Say whether this is a job of a multirun."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
