"""The progress of a training, on a terminal and in a log."""

import logging
import re
import sys

import pytest

from tests.conftest import TINY, fit, settings_of


@pytest.fixture
def trained(toy_folder, tmp_path, monkeypatch, caplog, capfd):
    """Return trained(terminal): what a codebook of four steps, validated twice, says in the log and on stderr."""

    def train(terminal):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
        caplog.set_level(logging.INFO)
        tiny = [one for one in TINY if one != "~callbacks.progress"]
        fixed = [f"data.folder={toy_folder}", f"paths.cache={tmp_path}", f"run={tmp_path}/runs/codebook/x"]
        fit(settings_of(*tiny, "stage=codebook", *fixed, f"paths.runs={tmp_path}/runs"))
        return [record.getMessage() for record in caplog.records], capfd.readouterr().err

    return train


def test_a_log_gets_a_line_for_each_validation_and_no_bar(trained):
    lines, shown = trained(terminal=False)
    steps = [line for line in lines if line.startswith("step ")]
    figures = r"loss [\d.e-]+, val/reconstruction [\d.e-]+"
    assert re.fullmatch(rf"step 2 of 4, {figures}, .+ left", steps[0])
    assert re.fullmatch(rf"step 4 of 4, {figures}", steps[1]) and len(steps) == 2
    assert "%|" not in shown and "\r" not in shown
    assert re.search(r"^trained in .+: best val/reconstruction [\d.]+, \S+/codebook/x$", "\n".join(lines), re.M)


def test_a_terminal_gets_one_bar_over_all_steps_with_loss(trained):
    _, shown = trained(terminal=True)
    last = [part for part in shown.split("\r") if part.startswith("train:")][-1]
    assert "4/4" in last and "loss" in last and "val/reconstruction" in last
