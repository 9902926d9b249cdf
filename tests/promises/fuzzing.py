"""How the fuzzers run: the same cases in every run; ``FUZZ`` gives another number of them, ``TALLY`` counts them."""

import functools
import os

from hypothesis import HealthCheck, settings

from tests.promises.tally import tally


def thorough(cases):
    """Return what makes a test with `given` a fuzzer that tries so many cases; a failing one is printed."""
    chosen = settings(
        max_examples=int(os.environ.get("FUZZ", cases)),
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )

    def fuzzer(test):
        inner, tried = test.hypothesis.inner_test, []

        @functools.wraps(inner)
        def counted(*arguments, **named):
            inner(*arguments, **named)
            tried.append(1)

        test.hypothesis.inner_test = counted
        whole = chosen(test)

        @functools.wraps(whole)
        def tallied(*arguments, **named):
            whole(*arguments, **named)
            tally("fuzz", test.__name__.removeprefix("test_").replace("_", " "), len(tried))

        return tallied

    return fuzzer
