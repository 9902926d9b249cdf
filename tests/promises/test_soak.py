"""Training, evaluating and predicting again and again in one process: memory, files and threads stay as they are.

``SOAK`` is the number of rounds; two hours are about 2,000.
"""

import gc
import os
import threading
from pathlib import Path

import pytest

from tests.conftest import evaluated, fit, predicted
from tests.promises import works
from tests.promises.killing import attempt

ROUNDS = int(os.environ.get("SOAK", "6"))
WARM = 3  # rounds until caches and pools have what they keep
LEAST_MB = 60  # what an allocator may keep more or less from one round to the next
pytestmark = pytest.mark.slow


def held():
    """Return resident megabytes, open files and threads of this process."""
    gc.collect()
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) / 1024, len(os.listdir("/proc/self/fd")), threading.active_count()


def test_rounds_leave_nothing_behind(tiny, codebook, toy_folder):
    seen = []
    for number in range(ROUNDS + WARM):
        run = fit(tiny("stage=detector", f"codebook_run={codebook.folder}", name=f"round{number}"))
        evaluated(run)
        predicted(run, toy_folder / "test/normal")
        seen.append(held())
    memory, files, threads = zip(*seen[WARM - 1 :], strict=True)
    assert max(memory) - memory[0] < LEAST_MB + 1.0 * ROUNDS, seen
    assert files[-1] <= files[0] and threads[-1] <= threads[0], seen


def test_an_evaluation_of_a_small_set_takes_less_than_a_gigabyte(detector, tmp_path):
    attempt(tmp_path / "log", works.evaluated_and_measured, detector.folder, tmp_path / "peak")
    assert int((tmp_path / "peak").read_text()) < 1000
