"""What the entry points share: errors that users cause end in one line and exit code 1, and the code's commit."""

import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, InstantiationException
from hydra.types import RunMode

from anomask.errors import AnomaskError, find_user_error

log = logging.getLogger(__name__)


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


def quieten() -> None:
    """Hide what Lightning says at every start and no user can act on; real warnings stay."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    for message in (
        r".*isinstance\(treespec.*",
        r".*does not have many workers.*",
        r"Found \d+ module\(s\) in eval mode.*",  # the frozen codebook is meant to be
        r".*smaller than the logging interval.*",
        r"Experiment logs directory.*",  # the run folder holds more than logs
    ):
        warnings.filterwarnings("ignore", message)


def current_commit() -> str | None:
    """Return the commit of the code that runs, ``-dirty`` behind it where code or conf differ, or None outside git."""
    folder = Path(__file__).parents[2]
    git = ["git", "-C", str(folder)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "src", "conf"], check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("-dirty" if changed else "")
