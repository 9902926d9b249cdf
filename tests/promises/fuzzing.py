"""How the fuzzers run: the same cases in every run; ``FUZZ`` gives another number of them."""

import os

from hypothesis import HealthCheck, settings


def thorough(cases):
    """Return the settings of a fuzzer that tries so many cases; a failing one is printed and joins the tests."""
    return settings(
        max_examples=int(os.environ.get("FUZZ", cases)),
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
