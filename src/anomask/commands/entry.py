"""What all commands share: settings composed by Hydra, and errors of users that end in one line and exit code 1."""

import errno
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from anomask.errors import find_user_error
from anomask.interruption import Stopped, stoppable
from anomask.progress import show
from anomask.settings.compose import CONF_FOLDER, register, register_alone

log = logging.getLogger(__name__)


def command(verb: str, groups: bool = True) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Make a function of settings a command whose settings are composed from ``conf/<verb>.yaml`` and the command line.

    What needs torch is imported inside of it: help is printed without.

    Args:
        verb: its name.
        groups: whether it has config groups. Without them no key, such as `device`, is taken for a group of training's.
    """

    def decorate(work: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        @hydra.main(version_base="1.3", config_path=str(CONF_FOLDER) if groups else None, config_name=verb)
        @wraps(work)
        def main(config: DictConfig) -> Any:
            with user_errors():
                show(config.progress, config.quiet)
                return work(config)

        return main

    register()
    if not groups:
        register_alone(verb)
    return decorate


@contextmanager
def user_errors() -> Iterator[None]:
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
        message = explain(error)
        if message is None:
            if in_sweep():
                log.exception("this job failed")
            raise
        log.error("%s", message)
        if in_sweep():
            raise CompactHydraException(message) from error
        sys.exit(1)


def explain(error: Exception) -> str | None:
    """Return what to tell a user of an error, or None where that is no error of theirs."""
    if (cause := find_user_error(error)) is not None:
        return f"{type(cause).__name__}: {cause}"
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "Free space, or choose another folder." if full else "Correct the path, or its permissions."
        return f"{type(error).__name__}: {error}. {advice}"
    return None


def in_sweep() -> bool:
    """Say whether this is a job of a multirun."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
