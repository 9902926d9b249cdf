"""Evaluations of one run: each data set and checkpoint has its own place, whatever its folder is called."""

import json

import pytest

from anomask.errors import ConfigError
from anomask.runs import Run
from anomask.runs.evaluations import evaluation_place, find_evaluation


@pytest.fixture
def evaluate(tmp_path):
    """Evaluate as far as the record: evaluate("hospA/slices", "a" * 64) returns the folder's name."""

    def run(data, fingerprint, checkpoint="best", name=None):
        folder = evaluation_place(Run(tmp_path), tmp_path / data, fingerprint, checkpoint, name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "record.json").write_text(
            json.dumps({"run": "x", "fingerprint": fingerprint, "checkpoint": checkpoint})
        )
        return folder.name

    return run


A, B = "a" * 64, "b" * 64


def test_two_folders_of_one_name_are_told_apart_by_their_content(evaluate):
    assert evaluate("hospA/slices", A) == "slices"
    assert evaluate("hospB/slices", B) == "slices_bbbbbbbb"
    assert evaluate("hospA/slices", A) == evaluate("moved/slices", A) == "slices"
    assert evaluate("hospB/slices", B) == "slices_bbbbbbbb"


def test_another_checkpoint_has_a_place_of_its_own(evaluate):
    assert evaluate("slices", A) == "slices" and evaluate("slices", A, "last") == "slices_last"
    assert evaluate("other/slices", B, "last") == "slices_last_bbbbbbbb"


def test_a_name_that_the_user_gives_is_never_taken_from_another_evaluation(evaluate):
    assert evaluate("slices", A, name="mine") == evaluate("slices", A, name="mine") == "mine"
    for other in ((B, "best"), (A, "last")):
        with pytest.raises(ConfigError, match="holds the evaluation of another data folder or checkpoint"):
            evaluate("slices", *other, name="mine")


def test_an_evaluation_is_found_by_what_was_evaluated(evaluate, tmp_path):
    assert find_evaluation(Run(tmp_path), A) is None
    evaluate("slices", B)
    evaluate("slices", A, "last")
    assert find_evaluation(Run(tmp_path), A) is None
    evaluate("slices", A)
    assert find_evaluation(Run(tmp_path), A).name == "slices_aaaaaaaa"


def test_a_damaged_record_is_written_anew(evaluate, tmp_path):
    evaluate("slices", A)
    (tmp_path / "evaluation/slices/record.json").write_text("{")
    assert find_evaluation(Run(tmp_path), A) is None and evaluate("slices", B) == "slices"
