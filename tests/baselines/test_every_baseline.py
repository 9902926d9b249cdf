"""Every comparison method trains on the phantom, reopens from its folder and gives the record that all methods give."""

import json
import math
from pathlib import Path

import pytest
import torch

from anomask.build import build_data, open_stage
from anomask.data.phantom.dataset import write_phantom
from anomask.settings.compose import CONF_FOLDER
from tests.conftest import TINY, TINY_BASELINES, evaluated, fit, predicted, settings_of

NAMES = sorted(path.stem for path in (CONF_FOLDER / "baseline").glob("*.yaml"))


def test_every_method_has_an_experiment():
    experiments = {path.stem for path in (CONF_FOLDER / "experiment").glob("baseline_*.yaml")}
    assert experiments == {f"baseline_{name}" for name in NAMES} and len(NAMES) == 15


@pytest.fixture(scope="module")
def toy_folder(tmp_path_factory):
    """A small phantom in place of the suite's toy slices."""
    folder = tmp_path_factory.mktemp("data") / "phantom"
    sizes = {"train_patients": 6, "test_patients": 2, "slices_per_patient": 3, "abnormal_per_family": 1}
    write_phantom(folder, size=32, progress=False, **sizes)
    return folder


@pytest.fixture(scope="module")
def codebook(tmp_path_factory, toy_folder):
    folder = tmp_path_factory.mktemp("codebook")
    return fit(
        settings_of(*TINY, "stage=codebook", f"data.folder={toy_folder}", f"run={folder}", "trainer.max_steps=2")
    )


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_threshold_record_and_reopening(tiny, codebook, name):
    few = [] if name in ("vqvae_residual", "padim", "patchcore", "token_memory") else ["trainer.max_steps=2"]
    settings = tiny(
        f"experiment=baseline_{name}", f"codebook_run={codebook.folder}", *few, *TINY_BASELINES.get(name, []), name=name
    )
    run = fit(settings)
    assert run.read_cost()["steps"] == (2 if few else 0) and run.read_cost()["detect_ms_per_slice"] > 0
    record = json.loads((evaluated(run) / "record.json").read_text())
    assert record["method"]["family"] in ("reconstruction", "synthesis", "feature")
    assert record["settings"]["baseline"] == settings["baseline"]
    mirrored = name.startswith("painted_unet")  # the others look once, whatever `scoring` says
    assert settings["scoring"]["mirror"] and record["looks"] == {"mirror": mirrored, "crops": mirrored}
    assert {row["map"] for row in record["pixel"]} >= {"anomaly map", "smoothed intensity"}
    check_detection(run, settings)
    folder, faults = predicted(run, Path(settings["data"]["folder"]) / "test/abnormal/covid19")
    assert (folder / "index.html").is_file() and not faults


def check_detection(run, settings):
    data = build_data(settings, progress=False)
    data.setup()
    batch = next(iter(data.test_dataloader()))
    first, second = (open_stage(run, "best").detect(batch) for _ in range(2))
    assert first.anomaly_map.shape == batch.image.shape and bool((first.anomaly_map >= 0).all())
    assert torch.equal(first.anomaly_map, second.anomaly_map) and math.isfinite(float(first.score.sum()))
    stage = open_stage(run, "best")
    alone = torch.cat([stage.detect(type(batch)(*(part[row : row + 1] for part in batch))).score for row in range(3)])
    torch.testing.assert_close(alone, first.score[:3], rtol=1e-3, atol=1e-5)
    highest = max(float(stage.detect(normal).anomaly_map.max()) for normal in data.val_dataloader())
    assert highest == pytest.approx(0.1, rel=1e-3)  # the unit of the maps


def quick(name):
    return name if name in ("ae", "cutpaste", "patchcore") else pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [quick(name) for name in NAMES if name != "vqvae_residual"])  # which draws nothing
def test_the_same_seed_gives_the_same_method(tiny, codebook, name):
    few = [] if name in ("padim", "patchcore", "token_memory") else ["trainer.max_steps=2"]
    common = [f"experiment=baseline_{name}", f"codebook_run={codebook.folder}", *few, *TINY_BASELINES.get(name, [])]
    states = [
        fit(tiny(*common, f"seed={seed}", name=f"{name}{index}")).load_checkpoint()["state_dict"]
        for index, seed in enumerate((1, 1, 2))
    ]
    same = [all(torch.equal(states[0][key], state[key]) for key in states[0]) for state in states[1:]]
    assert same[0] and (name == "padim" or not same[1])
