"""Evaluation on a folder of test slices alone: the run's own training normals are behind the floors."""

import csv
import json
import shutil

import numpy as np
import pytest

from anomask.errors import DataError, SplitError
from tests.conftest import evaluated


@pytest.fixture
def external(toy_folder, tmp_path):
    """The toy test set as somebody else's folder, without training normals."""
    shutil.copytree(toy_folder / "test", tmp_path / "other/test")
    return tmp_path / "other"


def record_of(folder):
    return json.loads((folder / "record.json").read_text())


def test_test_slices_alone_get_the_figures_and_floors_that_they_have_beside_the_runs_own_normals(
    evaluated_detector, external
):
    (own,) = (evaluated_detector.folder / "evaluation").iterdir()
    wanted, found = record_of(own), record_of(evaluated(evaluated_detector, folder=str(external)))
    for part in ("image", "pixel", "lesions", "threshold"):
        assert found[part] == wanted[part], part
    assert (found["floors_from"], wanted["floors_from"]) == (own.name, own.name)
    summary = (evaluated_detector.folder / "evaluation/other/summary.md").read_text()
    assert f"nearest training normal of {own.name}" in summary
    assert found["data_fingerprint"]["findings"]["error"] == {}


def test_a_run_without_kept_floors_looks_at_its_data_again_and_says_so_where_that_is_gone(
    evaluated_detector, external, toy_folder
):
    wanted = record_of(next((evaluated_detector.folder / "evaluation").iterdir()))
    evaluated_detector.floors_file.unlink()
    found = record_of(evaluated(evaluated_detector, folder=str(external)))
    assert [row["floor"] for row in found["image"]] == [row["floor"] for row in wanted["image"]]
    known = evaluated_detector.read_fingerprint()
    evaluated_detector.write_fingerprint(known | {"sha256": "another"})
    with pytest.raises(DataError, match="no training normals in .*other, and .* did not keep what floors need"):
        evaluated(evaluated_detector, folder=str(external))


def test_floors_are_kept_as_slices_are_without_augmentation(detector):
    with np.load(detector.floors_file) as kept:
        assert kept["features"].shape == (24, 3) and kept["mean"].shape == (1, 32, 32)


def test_a_test_set_that_holds_slices_of_the_training_is_refused(evaluated_detector, external, toy_folder):
    with evaluated_detector.training_slices_file.open(newline="") as stream:
        learned = [row["path"] for row in csv.DictReader(stream)]
    assert len(learned) == 24 and all((toy_folder / name).is_file() for name in learned)
    shutil.copyfile(toy_folder / learned[5], external / "test/normal/new_name.png")
    with pytest.raises(SplitError, match=rf"test/normal/new_name\.png is the same image as {learned[5]}, which this"):
        evaluated(evaluated_detector, folder=str(external))
    assert not (evaluated_detector.folder / "evaluation/other").exists()
