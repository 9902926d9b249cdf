"""Why there is no interval, in words."""

import pytest

from anomask.metrics.bootstrap import Interval
from anomask.report.text import not_defined


@pytest.mark.parametrize(
    ("n", "effective", "text"),
    [
        (1, 1.0, "not defined, n = 1 patient"),
        (5, 4.8, "not defined, n = 5 patients"),
        (12, 4.23, "not defined, 12 patients as good as 4.2"),
        (11, 9.97, "not defined, 11 patients as good as 9.9"),
        (200, 200.0, "–"),  # no resamples were asked for
    ],
)
def test_an_interval_that_is_not_defined_says_why(n, effective, text):
    assert not_defined(Interval(None, None, "patient", n, effective)._asdict()) == text
