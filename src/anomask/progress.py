"""How far a long piece of work is: a bar on a terminal, a line a minute in a log, nothing where nobody asked."""

import logging
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

log = logging.getLogger(__name__)  # its level is the switch: `show` raises it, and so does a program that logs nothing

SECONDS = 60  # between lines of a log


class _Lines:
    """What tqdm takes for a file: each of its lines becomes one of the log."""

    def write(self, text: str) -> None:
        if line := text.strip():  # blanks wipe a bar
            log.info("%s", line)

    def flush(self) -> None:
        pass


def show(progress: bool, quiet: bool) -> None:
    """Choose what the commands of this process say, once logging is set up.

    Args:
        progress: whether bars, or lines in their place, are shown.
        quiet: whether only warnings, errors and what a command was asked for go to the console; a log file gets all.
    """
    log.setLevel(logging.NOTSET if progress and not quiet else logging.WARNING)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.WARNING if quiet else logging.NOTSET)


def shown(wanted: bool = True) -> bool:
    """Say whether progress is shown at all, as a bar or as lines."""
    return wanted and log.isEnabledFor(logging.INFO)


def drawn(wanted: bool = True) -> bool:
    """Say whether bars are drawn: where progress is shown, and standard error is a terminal."""
    return shown(wanted) and sys.stderr.isatty()


def bar(items: Iterable[Any] | None, what: str, unit: str, total: int | None = None, wanted: bool = True) -> tqdm:
    """Return a progress bar over `items`; without a terminal it is a line a minute in the log.

    Args:
        items: what is gone through, or None where the caller counts with `update`.
        what: is done.
        unit: one of `items`.
        total: how many there are, where `items` cannot tell.
        wanted: whether anything is shown.
    """
    if drawn(wanted):
        return tqdm(items, desc=what, unit=unit, total=total)
    calm = {"mininterval": SECONDS, "maxinterval": SECONDS, "delay": SECONDS, "leave": False, "file": _Lines()}
    shape = f"{what}: {{n_fmt}} of {{total_fmt}}, {{remaining}} left"
    return tqdm(items, unit=unit, total=total, disable=not shown(wanted), bar_format=shape, **calm)


def spoken(seconds: float) -> str:
    """Return a time as one says it: '40 s', '12 min', '3 h 20 min', '2 d 4 h'."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"
