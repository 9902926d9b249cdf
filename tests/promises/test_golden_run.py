"""A run folder as this version writes it, kept: every later version opens it and comes to the same scores.

``tests/golden/run`` has the files of a run as text. Its weights are made here, from their names and shapes, so that no
binary file is kept; a version that names or shapes them otherwise is found out all the same.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from anomask.batches import SliceBatch
from anomask.build import open_stage
from anomask.reading import read_json
from anomask.report.record import shapes
from anomask.report.record.saved import read_scores
from anomask.report.sweep.jobs import FINISHED, read_job
from anomask.runs import Run, find_run
from anomask.runs.evaluations import find_evaluation
from tests.conftest import toy_slice

GOLDEN = Path(__file__).parents[1] / "golden/run"
SCORES = (0.5183896, 0.5166954)  # of two slices; on another processor the last digits may differ


def made(name, shape, dtype):
    """Values that depend on the name of a weight alone; ones for counts and variances."""
    if dtype != "float32" or name.endswith(("running_var", "counts")):
        return torch.ones(shape, dtype=getattr(torch, dtype))
    step = 1 + sum(name.encode()) % 7
    values = 0.2 * torch.sin(step * (1 + torch.arange(int(np.prod(shape)), dtype=torch.float64)))
    return values.reshape(shape).to(torch.float32)


@pytest.fixture
def run(tmp_path):
    run = Run(Path(shutil.copytree(GOLDEN, tmp_path / "run")))
    weights = json.loads((GOLDEN / "weights.json").read_text())
    state = {name: made(name, *about) for name, about in weights.items()}
    run.write_checkpoint("best", {"settings": yaml.safe_load(run.settings_file.read_text()), "state_dict": state})
    threshold, bill = (json.loads((GOLDEN / name).read_text()) for name in ("threshold.json", "cost.json"))
    run.write_threshold(threshold)
    run.write_cost(bill)
    return run


def test_every_file_of_an_older_run_is_read(run):
    assert run.finished, run.missing
    assert find_run(str(run.folder), "runs", "detector").folder == run.folder
    assert run.read_threshold()["n_normals"] == len(run.read_normal_scores()) == 12
    assert run.read_validation()["mode"] in ("min", "max") and len(run.read_fingerprint()["sha256"]) == 64
    record = read_json(run.folder / "evaluation/toy/record.json", shapes.RECORD, "")
    assert find_evaluation(run, record["fingerprint"]).name == "toy"
    assert len(read_scores(run.folder / "evaluation/toy")) == 22
    job = read_job("golden", run.folder, [])
    assert (job.state, job.notes) == (FINISHED, []) and job.evaluations["toy"]["slice AUROC"] is not None


def test_an_older_run_scores_as_it_did(run):
    stage = open_stage(run, "best")
    rng = np.random.default_rng(0)
    slices = [toy_slice(rng, lesion=lesion) for lesion in (False, True)]
    image, mask, lung = (torch.from_numpy(np.stack(part))[:, None] for part in zip(*slices, strict=True))
    known, frame = torch.ones(2, dtype=torch.bool), torch.tensor([[0.0, 0.0, 1.0]] * 2)
    batch = SliceBatch(image.float() / 255, torch.arange(2), mask, lung, known, known, frame)
    assert stage.detect(batch).score.tolist() == pytest.approx(SCORES, rel=1e-3)


def test_another_schema_is_refused_by_its_number(run):
    file = run.folder / "evaluation/toy/record.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": 4}))
    with pytest.raises(ValueError, match="schema is 4, wanted is 3. Evaluate again"):
        read_json(file, shapes.RECORD, "Evaluate again.")
    file.write_text(file.read_text().replace('"schema": 4', '"schema": 1'))
    assert "schema is 1, wanted is 3" in " ".join(read_job("golden", run.folder, []).notes)
