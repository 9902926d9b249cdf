"""Slices out, maps back: with a small runner in place of another library, all the way to the record."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from anomask.build import build_data, open_stage
from anomask.errors import DataError, ExternalError
from anomask.libraries.exchange import lift
from anomask.runs import Run, find_run
from anomask.settings.compose import CONF_FOLDER, plain, register
from anomask.settings.schema import ExternalConfig
from anomask.training.external import run_external
from tests.conftest import save, toy_slice
from tests.promises.test_configs import check_targets
from tests.stages.test_pipeline import evaluated

FAKE = Path(__file__).with_name("fake_runner.py")


def external_settings(*overrides):
    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        return plain(compose("external", overrides=list(overrides)))


@pytest.fixture
def external(toy_folder, tmp_path):
    """Return a function that makes an external run on the toy slices, and its folder."""

    def make(*overrides, name="run"):
        own = ["data=folder", f"data.folder={toy_folder}", "data.size=32", "data.batch_size=8", "trainer.max_steps=4"]
        own += ["data.validation_share=0.34", "scoring.specificity=0.8", "trainer.enable_progress_bar=false"]
        own += ["anomalib=any", "baseline.model=Distance", "baseline.family=reconstruction"]
        own += [f"python={sys.executable}", f"runner={FAKE}", f"run={tmp_path}/runs/{name}/1"]
        settings = external_settings(*own, *overrides)
        run = Run(Path(settings["run"]))
        run.folder.mkdir(parents=True)
        run_external(settings, run)
        return run

    return make


def test_the_maps_become_an_ordinary_run(external, toy_folder, tmp_path):
    run = external(name="distance")
    assert {path.name for path in run.folder.iterdir()} == {
        "checkpoints", "config.yaml", "cost.json", "floors.npz", "normal_scores.json", "runner.log", "threshold.json",
    }  # fmt: skip
    assert find_run("distance", str(tmp_path / "runs"), "baseline").folder == run.folder
    folder = evaluated(run)
    record = json.loads((folder / "record.json").read_text())
    assert record["method"] == {"name": "Distance (anomalib)", "family": "reconstruction", "source": "anomalib"}
    assert record["cost"]["steps"] == 7 and record["cost"]["versions"] == {"numpy": np.__version__}
    assert record["threshold"]["n_normals"] == 12 and record["settings"]["baseline"]["model"] == "Distance"
    assert {row["map"] for row in record["pixel"]} >= {"anomaly map", "smoothed intensity"}
    check_scores(folder, toy_folder, highest_of(run))


def highest_of(run):
    """The unit of the maps, written out: the highest pixel of the validation normals becomes 0.1."""
    state = run.load_checkpoint("best")["state_dict"]
    assert state["method.maps"].shape == (12 + 22, 1, 32, 32)
    return float(state["method.maps"][:12].max())


def check_scores(folder, toy_folder, highest):
    """Slice scores are the mean of the highest 1 % of |slice - mean of the training normals|, from the files alone."""

    def grey(path):
        return np.asarray(Image.open(path)) / 255

    normals = sorted((toy_folder / "train/normal").iterdir())
    with (folder / "scores.csv").open() as stream:
        scores = {row["path"]: float(row["score"]) for row in csv.DictReader(stream)}
    assert len(scores) == 22
    # Without patients, validation is a block of rows: which one, the scores of the two candidates tell.
    candidates = [np.mean([grey(path) for path in rows], axis=0) for rows in (normals[:24], normals[12:])]
    found = []
    for mean in candidates:
        maps = {name: np.abs(grey(toy_folder / name) - mean) for name in scores}
        plain_scores = {name: np.sort(values.ravel())[-10:].mean() / highest * 0.1 for name, values in maps.items()}
        found.append(max(abs(plain_scores[name] - scores[name]) for name in scores))
    assert min(found) < 1e-6 < max(found)


def test_exported_slices_are_ours_and_say_nothing_of_labels(external, toy_folder):
    run = external("keep=true")
    exchange = run.folder / "exchange"
    manifest = json.loads((exchange / "manifest.json").read_text())
    assert {split: len(names) for split, names in manifest["slices"].items()} == {
        "train": 24, "validation": 12, "test": 22,
    }  # fmt: skip
    text = json.dumps(manifest)
    assert not any(word in text for word in ("normal/", "abnormal", "nodule", "opacity", str(toy_folder)))
    data = build_data(run.read_settings(), progress=False)
    data.setup()
    for split, rows in (("train", data.train_set), ("test", data.test_set)):
        for name, batch in zip(manifest["slices"][split], rows, strict=True):
            shown = np.asarray(Image.open(exchange / name))
            assert shown.dtype == np.uint8 and np.abs(shown / 255 - batch.image[0].numpy()).max() <= 0.5 / 255 + 1e-6


def test_a_run_is_reopened_in_any_batch_and_knows_its_own_slices_alone(external, tmp_path):
    run = external()
    data = build_data(run.read_settings(), progress=False)
    data.setup()
    batch = next(iter(data.test_dataloader()))
    stage = open_stage(run, "best")
    together = stage.detect(batch).anomaly_map
    alone = torch.cat([stage.detect(type(batch)(*(part[[row]] for part in batch))).anomaly_map for row in range(8)])
    assert torch.equal(together, alone) and float(together.max()) > 0
    normals = next(iter(data.train_dataloader()))
    with pytest.raises(ExternalError, match="no map of 8 of 8 slices"):
        stage.detect(normals)


def test_maps_below_zero_are_shifted_and_rank_alike(external):
    runs = [external(name="plain"), external("+baseline.options.shift=-3", name="shifted")]
    assert runs[0].read_cost()["map_shift"] == 0.0 and 2.5 < runs[1].read_cost()["map_shift"] <= 3.0
    data = build_data(runs[0].read_settings(), progress=False)
    data.setup()
    batches = list(data.test_dataloader())
    stages = [open_stage(run, "best") for run in runs]
    scores = [torch.cat([stage.detect(batch).score for batch in batches]) * stage.unit for stage in stages]
    apart = scores[1] - scores[0]  # in the library's own unit: one constant
    assert float(apart.std()) < 1e-6 < 1e-3 < float(scores[0].std())
    maps = {"validation": torch.tensor([-2.0, 1.0]), "test": torch.tensor([-0.5])}
    assert lift(maps) == 2.0 and maps["validation"].tolist() == [0.0, 3.0] and maps["test"].tolist() == [1.5]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("fails", r"ended with exit code 1; it said: the weights could not be had \(all of it: .*runner\.log\)"),
        ("diverges", r"maps/validation/00000\.npy is float32 \[32, 32\], not finite; a finite float32 \[32, 32\]"),
        ("leaves_out", r"maps/test/00003\.npy cannot be read"),
        ("truncates", r"maps/test/00003\.npy cannot be read"),
        ("resizes", r"maps/test/00003\.npy is float32 \[8, 8\]; a finite float32 \[32, 32\] is wanted"),
        ("stops", r"cost\.json lacks steps: the other side did not finish"),
    ],
)
def test_a_fault_of_the_other_side_is_one_error_and_no_run(external, tmp_path, fault, message):
    with pytest.raises(ExternalError, match=message):
        external(f"+baseline.options.{fault}=true")
    assert [path.name for path in (tmp_path / "runs/run/1").iterdir()] == ["runner.log"]
    assert not (tmp_path / "runs/run/latest").exists()


def test_without_an_environment_the_error_says_how_to_make_it(external, tmp_path):
    with pytest.raises(ExternalError, match=r"no-such/python does not exist\. Make it with `make baselines-env`"):
        external(f"python={tmp_path}/no-such/python")
    assert not list((tmp_path / "runs/run/1").iterdir())


def test_weights_that_are_not_there_are_an_error(external, tmp_path):
    with pytest.raises(ExternalError, match=r"no weights at .*nowhere\.pth\. Name a file"):
        external(f"baseline.weights={tmp_path}/nowhere.pth")
    assert not list((tmp_path / "runs/run/1").iterdir())


def test_without_test_slices_there_is_nothing_to_ask(external, tmp_path):
    rng = np.random.default_rng(0)
    for index in range(9):
        save(toy_slice(rng)[0], tmp_path / f"own/train/normal/n{index}.png")
    with pytest.raises(DataError, match="no test slices"):
        external(f"data.folder={tmp_path}/own")


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF_FOLDER / "anomalib").glob("*.yaml")))
def test_every_model_composes(name):
    extra = ["baseline.model=Stfpm", "baseline.family=feature"] if name == "any" else []
    settings = external_settings(f"anomalib={name}", *extra)
    assert check_targets(settings, ExternalConfig) and settings["baseline"]["family"] in (
        "reconstruction",
        "synthesis",
        "feature",
    )
