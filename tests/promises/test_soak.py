"""Training, evaluating and predicting again and again in one process: memory, files and threads stay as they are.

``SOAK`` is for how many minutes; ``TALLY`` is a file that counts the rounds.
"""

import gc
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import evaluated, fit, predicted
from tests.promises import works
from tests.promises.killing import attempt
from tests.promises.tally import tally

MINUTES = float(os.environ.get("SOAK", "10"))
WARM = 3  # rounds until caches and pools have what they keep
LEAST = 6  # rounds after those, on a machine however slow
MOST_MB = 100  # what an allocator may keep more at one time than at another, however long
pytestmark = pytest.mark.slow


def held():
    """Return resident megabytes, open files and threads of this process."""
    gc.collect()
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) / 1024, len(os.listdir("/proc/self/fd")), threading.active_count()


def test_rounds_leave_nothing_behind(tiny, codebook, toy_folder):
    seen, start = [], time.monotonic()
    while len(seen) < WARM + LEAST or time.monotonic() - start < 60 * MINUTES:
        name = f"round{len(seen)}"
        run = fit(tiny("stage=detector", f"codebook_run={codebook.folder}", name=name))
        evaluated(run)
        predicted(run, toy_folder / "test/normal")
        shutil.rmtree(run.folder)
        seen.append(held())
    memory, files, threads = zip(*seen[WARM - 1 :], strict=True)
    grown = max(memory) - memory[0]
    assert grown < MOST_MB, seen
    assert files[-1] <= files[0] and threads[-1] <= threads[0], seen
    minutes = round((time.monotonic() - start) / 60)
    tally("soak", "train, evaluate and predict", len(seen), minutes=minutes, grown_mb=round(grown))


def test_an_evaluation_of_a_small_set_takes_less_than_a_gigabyte(detector, tmp_path):
    attempt(tmp_path / "log", works.evaluated_and_measured, detector.folder, tmp_path / "peak")
    assert int((tmp_path / "peak").read_text()) < 1000
