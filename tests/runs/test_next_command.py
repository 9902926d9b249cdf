"""The command that comes next."""

import pytest

from anomask.runs.folder import Run
from anomask.runs.next_command import after_codebook, after_evaluation, after_training, reference, say_next

EXPERIMENTS = ("codebook", "detector", "demo_codebook", "demo_detector")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANOMASK_RUNS", raising=False)
    run = Run(tmp_path / "runs/ours_codebook/2026")
    run.folder.mkdir(parents=True)
    run.link_latest()
    return run


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (
            ["experiment=codebook", "name=ours_codebook", "data=folder", "data.folder=data/ours"],
            "experiment=detector_tokens name=ours data=folder data.folder=data/ours",
        ),
        (["experiment=demo_codebook", "trainer.max_steps=9", "seed=1"], "experiment=demo_detector seed=1"),
        (
            ["experiment=codebook", "model.quantiser.n_codes=64"],
            "experiment=detector_tokens model.quantiser.n_codes=64",
        ),
        (["stage=codebook", "name=mine", "data.size=64"], "experiment=detector_tokens data.size=64"),
    ],
)
def test_after_a_codebook_its_detector_on_the_same_data_and_model(run, typed, expected):
    assert after_codebook(run, typed, EXPERIMENTS) == f"anomask train {expected} codebook_run=ours_codebook"


def test_after_a_detector_its_evaluation_or_prediction_and_after_that_both(run):
    assert after_training(run, True) == "anomask evaluate run=ours_codebook"
    assert after_training(run, False).startswith("anomask predict run=ours_codebook input=<slices")
    assert [one.split()[1] for one in after_evaluation(run)] == ["predict", "compare"]


def test_a_run_that_is_not_the_latest_of_its_name_is_called_by_its_folder(run, tmp_path):
    assert reference(run) == "ours_codebook"
    assert reference(Run(run.folder.with_name("2025"))) == "runs/ours_codebook/2025"


def test_a_part_of_another_command_says_nothing(monkeypatch, caplog):
    caplog.set_level("INFO")
    say_next("anomask evaluate run=x")
    monkeypatch.setenv("ANOMASK_PART", "detector")
    say_next("anomask compare first=x")
    assert [record.getMessage() for record in caplog.records] == ["next: anomask evaluate run=x"]
