"""A run is found by its folder, its name or one of its checkpoints, cut off or not."""

import os

import pytest
import yaml

from anomask.errors import RunError
from anomask.runs import Run, find_run
from anomask.runs.finding import checkpoint_in


@pytest.fixture
def runs(tmp_path):
    """Two runs of one name: the first finished, the second cut off."""
    for age, name in enumerate(("second", "first")):
        folder = tmp_path / "det" / name
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump({"stage": {"name": "detector"}}))
        os.utime(folder / "config.yaml", (1e9 - age, 1e9 - age))
    Run(tmp_path / "det/first").link_latest()
    return tmp_path


@pytest.mark.parametrize(
    "text", ["det", "{}/det", "{}/det/latest", "{}/det/first", "{}/det/first/checkpoints/last.ckpt"]
)
def test_a_run_is_found_by(text, runs):
    assert find_run(text.format(runs), str(runs), "detector").folder == runs / "det/first"


def test_to_go_on_a_name_means_its_newest_run(runs):
    assert find_run("det", str(runs), "detector", newest=True).folder == runs / "det/second"
    assert find_run(str(runs / "det/latest"), str(runs), "detector", newest=True).folder == runs / "det/first"


def test_a_name_all_of_whose_runs_were_cut_off_means_its_newest_run(runs):
    (runs / "det/latest").unlink()
    assert find_run("det", str(runs), "detector").folder == runs / "det/second"


def test_what_hydra_keeps_inside_a_run_is_no_run(runs):
    inside = runs / "det/first/.hydra/config.yaml"
    inside.parent.mkdir()
    inside.write_text("stage: {name: detector}")
    for newest in (False, True):
        assert find_run("det/first", str(runs), "detector", newest=newest).folder == runs / "det/first"
    inside.parent.rename(runs / "det/.hydra")
    assert find_run("det", str(runs), "detector", newest=True).folder == runs / "det/second"


def test_latest_never_points_at_itself(runs):
    Run(runs / "det/latest").link_latest()
    assert os.readlink(runs / "det/latest") == "first"


@pytest.mark.parametrize("text", ["nosuch", "{}/det/first/checkpoints/no/last.ckpt", "{}"])
def test_what_is_no_run_is_an_error_and_makes_nothing(text, runs):
    before = sorted(runs.rglob("*"))
    with pytest.raises(RunError, match=r"no codebook or detector run at .*Known runs: .*det"):
        find_run(text.format(runs), str(runs), "codebook", "detector")
    assert sorted(runs.rglob("*")) == before


@pytest.mark.parametrize("text", ["- a list", "stage: [", "stage: text", ""])
def test_damaged_settings_are_named(text, runs):
    (runs / "det/first/config.yaml").write_text(text)
    with pytest.raises(RunError, match=r"config\.yaml is damaged .*Restore what anomask train wrote"):
        find_run("det", str(runs), "detector")


def test_a_checkpoint_file_names_a_checkpoint():
    assert checkpoint_in("runs/x/checkpoints/last.ckpt") == "last"
    assert checkpoint_in("runs/x") is checkpoint_in("x") is None
