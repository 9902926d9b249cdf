"""Doing the same to many files at once: threads, since decoding and hashing let other threads run."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from anomask.progress import bar

CHUNK = 256  # results that may wait to be used: bounds the memory


def worker_count() -> int:
    """Return how many threads pay: the cores that this process may use, at most 8 (a disk serves no more)."""
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def in_parallel(
    function: Callable[[Any], Any], items: Sequence[Any], description: str = "", progress: bool = False
) -> Iterator[Any]:
    """Yield `function` of each item, in their order; `description` names the progress bar."""
    counted = bar(None, description, "slice", len(items), progress)
    with counted, ThreadPoolExecutor(worker_count()) as pool:
        for start in range(0, len(items), CHUNK):
            for result in pool.map(function, items[start : start + CHUNK]):
                counted.update()
                yield result
