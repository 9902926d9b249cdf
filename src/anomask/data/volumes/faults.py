"""One file never costs a job: whatever a library raises for it becomes one line that names it."""

import logging
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from anomask.errors import AnomaskError, DataError

log = logging.getLogger(__name__)
OnFault = Callable[[DataError], None]
LONGEST_REASON = 240
# They print the traceback of each decoder that fails, and what they mend in a header.
CHATTY = [logging.getLogger(name) for name in ("pydicom", "nibabel.global")]


def log_fault(fault: DataError) -> None:
    """Report a fault in one line and go on."""
    log.error("%s: %s", type(fault).__name__, fault)


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn every error inside the block into a DataError that names the file.

    Args:
        path: what is read.
        kind: as what, such as 'DICOM'.

    Raises:
        DataError: the block raised something; an `AnomaskError` passes as it is.
    """
    before = [logger.level for logger in CHATTY]
    for logger in CHATTY:
        logger.setLevel(logging.CRITICAL)  # holds for the loggers below it, too
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except AnomaskError:
        raise
    # pydicom, nibabel and Pillow raise nearly anything for a damaged or hostile file, and say so nowhere.
    except Exception as error:
        raise DataError(f"{path} cannot be read as {kind} ({short(error)}). Copy or export it again.") from error
    finally:
        for logger, was in zip(CHATTY, before, strict=True):
            logger.setLevel(was)


def short(error: BaseException) -> str:
    """Return an error's kind and message in one line, cut between words."""
    text = getattr(error, "strerror", None) or str(error)
    return textwrap.shorten(f"{type(error).__name__}: {text}", LONGEST_REASON, placeholder=" ...")
