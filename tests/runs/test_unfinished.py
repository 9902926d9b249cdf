"""Runs that broke off: the note of why, and what anyone who names one is told."""

import json

import pytest
import yaml

from anomask.errors import DataError, RunError
from anomask.runs import Run, find_run
from anomask.runs.unfinished import failure_noted, require_finished

SETTINGS = {"stage": {"name": "detector"}}


def failed(run, error):
    run.folder.mkdir(parents=True, exist_ok=True)
    with pytest.raises(type(error)), failure_noted(run, SETTINGS):
        raise error


def test_a_failure_is_noted_with_the_users_part_of_it_and_forgotten_by_the_next_attempt(tmp_path):
    run = Run(tmp_path / "det/1")
    wrapped = RuntimeError("transform failed")
    wrapped.__cause__ = DataError("n000.png is cut off.")
    failed(run, wrapped)
    note = json.loads((run.folder / "failure.json").read_text())
    assert note == {"error": "DataError", "message": "n000.png is cut off."} and run.read_settings() == SETTINGS
    with failure_noted(run, SETTINGS):
        assert not (run.folder / "failure.json").exists()


def test_an_unfinished_run_is_found_by_its_name_and_says_what_it_lacks_why_and_what_to_do(tmp_path):
    run = Run(tmp_path / "det/1")
    failed(run, DataError("n000.png is cut off."))
    (run.folder / ".hydra").mkdir()
    (run.folder / ".hydra/overrides.yaml").write_text(yaml.safe_dump(["stage=detector", "data.folder='my data'"]))
    found = find_run("det", str(tmp_path), "detector")
    assert found.folder == run.folder
    with pytest.raises(RunError) as told:
        require_finished(found)
    assert str(told.value) == (
        f"{run.folder} is not finished: its training has not ended. It failed: DataError: n000.png is cut off. "
        "Train it again: anomask train stage=detector 'data.folder='\"'\"'my data'\"'\"''"
    )
    (run.folder / "checkpoints").mkdir()
    run.checkpoint_file("last").touch()
    assert require_finished(found, "last") is found
    with pytest.raises(RunError, match=f"its training has not ended.*Go on with: anomask train resume={run.folder}$"):
        require_finished(found)


def test_a_finished_run_goes_through(detector):
    assert require_finished(detector) is detector
