"""Test slices that a run learned from are refused; patients of the same names are warned of."""

import pytest

from anomask.data.checks.learned import seen_before, write_learned
from anomask.data.folder.findings import ERROR, WARNING
from anomask.data.folder.records import SliceRecord
from anomask.errors import RunError


def record(name, split, patient=""):
    return SliceRecord(path=None, name=name, split=split, label="normal", patient=patient)


@pytest.fixture
def file(tmp_path):
    records = [record("train/normal/a, b.png", "train", "p1"), record("train/normal/c.png", "train")]
    write_learned(tmp_path / "training_slices.csv", records, ["11", "22"])
    return tmp_path / "training_slices.csv"


def test_the_same_image_is_an_error_that_names_both(file):
    (finding,) = seen_before(
        file, [record("test/normal/x.png", "test"), record("test/normal/y.png", "test")], ["33", "11"]
    )
    assert finding.severity == ERROR and finding.files == ("test/normal/y.png",)
    assert "test/normal/y.png is the same image as train/normal/a, b.png" in finding.message


def test_patients_of_the_same_name_are_warned_of_and_unknown_ones_are_not(file):
    assert seen_before(file, [record("x", "test", ""), record("y", "test", "p2")], ["3", "4"]) == []
    (finding,) = seen_before(file, [record("x", "test", "p1"), record("y", "test", "p1")], ["3", "4"])
    assert finding.severity == WARNING and finding.message.startswith("1 patients") and finding.message.endswith("p1.")


def test_a_run_that_kept_nothing_is_warned_of_and_a_damaged_file_is_refused(file):
    (finding,) = seen_before(file.with_name("none.csv"), [record("x", "test")], ["1"])
    assert finding.severity == WARNING and "did not keep" in finding.message
    for text in ("", "path,patient\na,b\n", "path,sha256,patient\n"):
        file.write_text(text)
        with pytest.raises(RunError, match=r"training_slices\.csv"):
            seen_before(file, [record("x", "test")], ["1"])
