"""Progress: bars on a terminal alone, lines in a log elsewhere, neither where nobody asked."""

import logging
import sys

import pytest

from anomask import progress
from anomask.progress import bar, drawn, show, shown, spoken


@pytest.fixture
def console(monkeypatch):
    """A console handler of the root logger, which Hydra sets up in commands."""
    handler = logging.StreamHandler()
    root, before = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)
    progress.log.setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    ("asked", "quiet", "terminal", "wanted"),
    [(True, False, True, "bar"), (True, False, False, "lines"), (False, False, True, ""), (True, True, True, "")],
)
def test_bars_on_terminals_and_lines_in_logs(console, monkeypatch, capfd, caplog, asked, quiet, terminal, wanted):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    show(asked, quiet)
    assert (drawn(), shown()) == (wanted == "bar", wanted != "")
    assert list(bar(range(3), "count", "slice")) == [0, 1, 2]
    assert ("count: 100%" in capfd.readouterr().err) == (wanted == "bar")
    lines = [record.getMessage() for record in caplog.records if record.name == "anomask.progress"]
    assert any(line.startswith("count: 1 of 3") for line in lines) == (wanted == "lines")
    assert console.level == (logging.WARNING if quiet else logging.NOTSET)


def test_a_caller_that_shows_nothing_gets_nothing(console, caplog, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    show(True, False)
    counted = bar(None, "predict", "slice", 0, wanted=False)
    counted.update(3)
    assert not caplog.records


def test_times_are_said_as_one_would():
    assert [spoken(s) for s in (0.4, 59, 61, 12.4 * 60, 3.4 * 3600, 50 * 3600)] == [
        "0 s",
        "59 s",
        "1 min",
        "12 min",
        "3 h 24 min",
        "2 d 2 h",
    ]
