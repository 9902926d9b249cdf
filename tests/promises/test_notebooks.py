"""The notebooks run from top to bottom on made data, and are readable where they are stored."""

import base64
import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
MOST_BYTES = 500_000  # of the pictures of all notebooks


def outputs_of(path):
    cells = json.loads(path.read_text())["cells"]
    return [output for cell in cells for output in cell.get("outputs", [])]


def pictures_of(path):
    found = (output.get("data", {}).get("image/png") for output in outputs_of(path))
    return [base64.b64decode(picture) for picture in found if picture]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stored_and_clean(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))  # run once, in order
    assert pictures_of(path)
    assert not [output for output in outputs_of(path) if output["output_type"] == "error"]
    text = json.dumps([{**output, "data": {**output.get("data", {}), "image/png": ""}} for output in outputs_of(path)])
    assert not re.search(
        r"/(?:home|root|work|tmp|Users)/|Warning", text
    )  # no machine's paths, nothing to be ashamed of


def test_stored_pictures_are_small():
    assert sum(len(picture) for path in NOTEBOOKS for picture in pictures_of(path)) < MOST_BYTES


# What a notebook leaves behind when it has done its work; None where it only reads.
LEFT = {
    "01_method_walkthrough": "runs/detector/threshold.json",
    "02_own_data": "runs/ours/latest/predictions/abnormal/index.html",
    "03_records": None,
    "04_one_prediction": "runs/detector/threshold.json",
}
SLOW = ("01_method_walkthrough", "02_own_data", "04_one_prediction")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in LEFT])
def test_it_runs(name, tmp_path, monkeypatch):
    (path,) = (path for path in NOTEBOOKS if path.stem == name)
    monkeypatch.setenv("ANOMASK_NOTEBOOK_STEPS", "3")
    monkeypatch.setenv("ANOMASK_NOTEBOOK_FOLDER", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "agg")
    for variable in ("ANOMASK_RUNS", "ANOMASK_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(path.parent)}}).execute()
    assert LEFT[name] is None or (tmp_path / LEFT[name]).is_file()


def test_every_notebook_is_run():
    assert {path.stem for path in NOTEBOOKS} == LEFT.keys()
