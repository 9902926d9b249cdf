"""An evaluation that is ended, or that another one comes in the way of, leaves nothing half written."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomask.errors import RunError
from anomask.evaluation import evaluate as evaluation
from tests.conftest import evaluated
from tests.promises.test_entries import call_here

GOLDEN = Path(__file__).parents[1] / "golden/run/evaluation/toy"


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ctrl_c_while_slices_are_scored_leaves_what_was_there(evaluated_detector, monkeypatch, capfd):
    folder = evaluated_detector.folder
    before, count, write_map = everything(folder), iter(range(9)), evaluation.write_map

    def ending(path, values):
        write_map(path, values)
        if next(count) == 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(evaluation, "write_map", ending)
    given = [f"run={folder}", "maps=true", "batch_size=4", "progress=false"]
    assert call_here("evaluate", *given, monkeypatch=monkeypatch) == 130
    said = capfd.readouterr()
    assert "ended by SIGINT" in said.out and "Traceback" not in said.out + said.err
    assert everything(folder) == before and not list(folder.rglob("*.part"))


def test_maps_are_whole_and_those_of_this_evaluation(evaluated_detector):
    folder = next(evaluated_detector.evaluation_folder("").iterdir())
    (folder / "maps").mkdir()
    (folder / "maps/stale.png").write_bytes(b"")
    evaluated(evaluated_detector, maps=True)
    maps = [path for path in (folder / "maps").rglob("*") if path.is_file()]
    assert len(maps) == 22 and all(np.asarray(Image.open(path)).dtype == np.uint16 for path in maps)


def test_of_two_evaluations_of_one_name_at_once_neither_writes_over_the_other(detector, monkeypatch):
    score, folder = evaluation.score, detector.evaluation_folder("")

    def beside_another(stage, data, *rest):
        other = folder / data.whole.folder.name
        other.mkdir(parents=True)
        record = json.loads((GOLDEN / "record.json").read_text()) | {"fingerprint": "b" * 64}
        (other / "record.json").write_text(json.dumps(record))
        return score(stage, data, *rest)

    monkeypatch.setattr(evaluation, "score", beside_another)
    with pytest.raises(RunError, match="was written by another evaluation in the meantime"):
        evaluated(detector, maps=True)
    (other,) = folder.iterdir()
    assert [path.name for path in other.iterdir()] == ["record.json"]
    monkeypatch.setattr(evaluation, "score", score)
    assert evaluated(detector).name.startswith(f"{other.name}_")
