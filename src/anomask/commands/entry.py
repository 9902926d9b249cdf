"""What all commands share: settings composed by Hydra, and errors of users that end in one line and exit code 1."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig

from anomask.errors import AnomaskError, find_user_error
from anomask.progress import show
from anomask.settings.compose import CONF_FOLDER, register

log = logging.getLogger(__name__)


def command(verb: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Make a function of settings a command whose settings are composed from ``conf/<verb>.yaml`` and the command line.

    What needs torch is imported inside of it: help is printed without.
    """

    def decorate(work: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        @hydra.main(version_base="1.3", config_path=str(CONF_FOLDER), config_name=verb)
        @wraps(work)
        def main(config: DictConfig) -> Any:
            with user_errors():
                show(config.progress, config.quiet)
                return work(config)

        return main

    register()
    return decorate


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn an `AnomaskError` (also one that a library wrapped) into one clear line and exit code 1.

    A job of a sweep raises instead of leaving, so that the other jobs are still done.
    """
    try:
        yield
    except (AnomaskError, InstantiationException, RuntimeError) as error:
        cause = find_user_error(error)
        if cause is None:
            raise
        log.error("%s: %s", type(cause).__name__, cause)
        if in_sweep():
            raise CompactHydraException(str(cause)) from error
        sys.exit(1)
    except OSError as error:
        log.error("%s: %s. Free space, or choose another folder.", type(error).__name__, error)
        sys.exit(1)


def in_sweep() -> bool:
    """Say whether this is a job of a multirun."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
