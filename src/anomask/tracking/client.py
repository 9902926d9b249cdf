"""Start a W&B run that never stops the program: without a key or a network it is offline, with one warning."""

import logging
import os
import secrets
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import wandb

from anomask.errors import ConfigError

log = logging.getLogger(__name__)

REACH_SECONDS = 3  # for any answer of the server; a proxy of the environment is used
INIT_SECONDS = 10  # for a server that answers, but not to W&B's client (its own limit is 90)
FLUSH_SECONDS = 0.2  # until a row is in the run's file, where a killed process does not lose it (the client's own: 15)
FINISH_SECONDS = 300  # for uploads at the end (the client's own limit is none); what is left stays on disk


def new_id() -> str:
    """Return an id for a new W&B run: the one that a W&B agent has given this program, where it runs under one."""
    given = os.environ.get(wandb.env.RUN_ID) if os.environ.get(wandb.env.SWEEP_ID) else None
    return given or secrets.token_hex(6)


def start(offline: bool, folder: Path, **about: Any) -> wandb.Run:
    """Start a W&B run, or go on with the one that `id` names.

    Args:
        offline: whether nothing is sent; `WANDB_MODE` can say so too.
        folder: its subfolder ``wandb`` gets the run's files, which `wandb sync` uploads later.
        about: other arguments of `wandb.init`. Under a W&B agent the project, the entity and the id are the agent's.

    Returns:
        a run that is online if that was wanted and possible, else offline; switched off if not even that is possible
    """
    wandb.setup(wandb.Settings(show_info=False))  # its banners; its warnings and errors stay
    if wandb.run is not None:
        with going_on():
            wandb.finish(exit_code=1)  # of a job of the same process that broke off
    mode = "offline" if offline else wandb.setup().settings.mode
    if mode == "online" and (obstacle := _obstacle()):
        _warn(f"is offline: {obstacle}", folder)
        mode = "offline"
    limits = wandb.Settings(
        init_timeout=INIT_SECONDS,
        finish_timeout=FINISH_SECONDS,
        x_transaction_log_flush_interval=FLUSH_SECONDS,
        show_info=False,
        quiet=True,
    )
    if os.environ.get(wandb.env.SWEEP_ID):
        about = {key: value for key, value in about.items() if key not in ("project", "entity", "id")}
    for attempt in (mode, "offline"):
        try:
            return wandb.init(mode=attempt, dir=str(folder), settings=limits, **about)
        except (wandb.errors.UsageError, TypeError, ValueError) as error:  # neither the network nor the account
            raise ConfigError(f"W&B cannot be used as it is asked for: {' '.join(str(error).split())}") from error
        except Exception as error:  # as in `going_on`
            _warn(f"did not start {attempt}: {type(error).__name__}: {error}", None if attempt == "offline" else folder)
            with going_on():
                wandb.teardown(exit_code=1)  # its own process, which may hold the id, or be dead since an earlier job
    return wandb.init(mode="disabled")


def require_names(**names: str | None) -> None:
    """Make sure that W&B takes these names of a project and an entity: it would say so only after the training began.

    Raises:
        ConfigError: it does not.
    """
    for what, name in names.items():
        try:
            wandb.Settings(**{what: name})
        except (wandb.errors.UsageError, ValueError) as error:
            raise ConfigError(f"W&B does not take {what} = {name!r}: {' '.join(str(error).split())}") from error


def place_of(run: wandb.Run, folder: Path) -> str:
    """Say where a W&B run is.

    Args:
        run: as `start` returned it.
        folder: that of its files.
    """
    if run.disabled:
        return "W&B did not start: nothing is tracked there"
    if run.offline:
        return f"W&B offline, uploaded later with: wandb sync {folder / 'wandb'}"
    return f"W&B at {run.url}"


@contextmanager
def going_on() -> Iterator[None]:
    """Turn whatever W&B's client raises in the block into a warning: a training is worth more than its log."""
    try:
        yield
    except Exception as error:
        _warn_once(f"W&B failed, everything else goes on: {type(error).__name__}: {error}")


def _obstacle() -> str | None:
    """Return why W&B cannot be online, as far as seconds can tell."""
    if (silence := _silence(wandb.setup().settings.base_url)) is not None:
        return silence  # asked first: without a network `login` takes seconds
    try:
        return None if wandb.login(prompt=False, verify=False) else "there is no key (wandb login, or WANDB_API_KEY)"
    except (wandb.Error, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def _silence(server: str) -> str | None:
    """Return why a server does not answer, or None if it does."""
    try:
        urlopen(server, timeout=REACH_SECONDS).close()
    except HTTPError:
        return None  # this is an answer
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            return None  # it is there; W&B's client has its own settings for certificates
        return f"no answer from {server} ({reason})"
    return None


@cache
def _warn_once(message: str) -> None:
    log.warning("%s", message)


def _warn(what: str, folder: Path | None) -> None:
    later = "nothing is tracked there" if folder is None else f"upload it later with: wandb sync {folder / 'wandb'}"
    log.warning("W&B %s. This run goes on; %s", what, later)
