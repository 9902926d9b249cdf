"""Doing a piece of work in a process of its own, and killing that at a moment counted in its CPU time."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

# A server that has imported everything once; what it forks begins with the work itself.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.promises.works"])
TICK = os.sysconf("SC_CLK_TCK")
LONGEST_S = 600


def cpu_seconds(pid):
    """Return what a process has used of the processor, or None where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else (int(fields[11]) + int(fields[12])) / TICK


def children(pid):
    """Return the processes that a process has started, and theirs: workers of its data loader."""
    try:
        own = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [each for child in own for each in (child, *children(child))]


def _silent(log, work, arguments):
    os.setsid()
    with open(log, "ab") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    work(*arguments)


def attempt(log, work, *arguments, kill_at=None, number=signal.SIGKILL):
    """Do the work; return what it used of the processor, and whether it was killed before it had ended.

    Args:
        log: file for what it says.
        work: a function of `tests.promises.works`.
        arguments: of it.
        kill_at: seconds of its CPU time; None lets it end, which it must without an error.
        number: of the signal.
    """
    process = CONTEXT.Process(target=_silent, args=(str(log), work, arguments))
    process.start()
    used, begun = 0.0, time.monotonic()
    while (now := cpu_seconds(process.pid)) is not None:
        used = now
        if kill_at is not None and used >= kill_at:
            for pid in (process.pid, *children(process.pid)):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
            process.join()
            return used, True
        assert time.monotonic() - begun < LONGEST_S, f"{work.__name__} hangs, see {log}"
        time.sleep(0.004)
    process.join()
    said = Path(log).read_text(errors="replace")[-3000:]
    assert process.exitcode == 0, f"{work.__name__} ended with {process.exitcode}:\n{said}"
    return used, False
