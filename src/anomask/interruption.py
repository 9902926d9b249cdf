"""Ending on SIGTERM and Ctrl-C as a shell expects: exit code 143 or 130, with what was being written cleaned up."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(SystemExit):
    """The process was told to end. No `except Exception` keeps it, and a sweep ends with it.

    Args:
        number: of the signal.
        said: whether the user has been told what to do.
    """

    def __init__(self, number: int, said: bool = False) -> None:
        super().__init__(128 + number)
        self.number, self.said = number, said

    @property
    def name(self) -> str:
        """What the signal is called."""
        return signal.Signals(self.number).name


@contextmanager
def stoppable(stop: Callable[[int], None] | None = None) -> Iterator[None]:
    """Have SIGTERM and SIGINT handled in the block, where this is the main thread.

    Args:
        stop: what is called with the signal's number; None raises `Stopped`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    listen(stop or _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def listen(stop: Callable[[int], None]) -> None:
    """Have `stop` called with the number of SIGTERM or SIGINT in this process, not in those forked from it."""
    owner = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            stop(number)
        elif number == signal.SIGTERM:  # a worker: its parent decides about Ctrl-C, which reaches both
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    for number in SIGNALS:
        signal.signal(number, handle)


def _raise(number: int) -> None:
    raise Stopped(number)
