"""A run folder from somebody else runs no code, writes nowhere else, and is opened without what trained it."""

import json
import shutil
import sys

import pytest
import torch
import yaml

from anomask.build import build_data, build_stage, open_stage
from anomask.errors import RunError
from anomask.runs.checkpoints import write_checkpoint
from anomask.settings.resume import parse
from anomask.trained import decision
from anomask.training.resume import resumption
from tests.conftest import evaluated, fit, save
from tests.promises.test_entries import call_here

WRITE = {"_target_": "pathlib.Path.write_text", "_args_": [{"_target_": "pathlib.Path", "_args_": ["{marker}"]}, "x"]}
PLACES = [
    "stage.optimisation",
    "stage.optimisation.optimiser",
    "model.encoder",
    "model.quantiser",
    "scoring.image_score",
    "scoring.crops",
    "synthesiser.draw",
    "loss.detector",
    "data",
    "data.augment",
    "logger",
    "trainer",
    "trainer.strategy",
    "unheard_of",
]


def put(settings, place, node):
    """Put a node at a dotted place."""
    *above, last = place.split(".")
    for key in above:
        settings = settings.setdefault(key, {})
    settings[last] = node


def poison(run, place, where, marker):
    """Have a saved run name a class that writes a file."""
    node = json.loads(json.dumps(WRITE).replace("{marker}", str(marker)))
    if where == "config.yaml":
        settings = run.read_settings()
        put(settings, place, node)
        run.write_settings(settings)
        return
    for which in ("best", "last"):
        checkpoint = run.load_checkpoint(which)
        put(checkpoint["settings"], place, node)
        write_checkpoint(run.checkpoint_file(which), checkpoint)
    run.write_cost(run.read_cost())  # whoever changes a run can change its digests, too
    run.write_threshold(json.loads(run.threshold_file.read_text()))


@pytest.mark.parametrize("where", ["config.yaml", "checkpoint"])
def test_a_hostile_run_is_refused_before_anything_is_built(where, detector, tmp_path):
    marker, whole = tmp_path / "marker", shutil.copytree(detector.folder, tmp_path / "whole")
    for place in PLACES:
        poison(detector, place, where, marker)
        with pytest.raises(RunError, match=r"names .*_target_ = 'pathlib.Path.*', which is not part of anomask"):
            open_stage(detector, "best")
        if where == "config.yaml":
            with pytest.raises(RunError, match="which is not part of anomask"):
                resumption(str(detector.folder), "runs", [])
        shutil.rmtree(detector.folder)
        shutil.copytree(whole, detector.folder)
    assert not marker.exists()


@pytest.mark.parametrize("entry", ["predict", "evaluate"])
def test_commands_refuse_a_hostile_run_in_one_line(entry, detector, toy_folder, tmp_path, monkeypatch, capfd):
    poison(detector, "stage.optimisation", "checkpoint", tmp_path / "marker")
    given = [f"run={detector.folder}", *([f"input={toy_folder / 'test/normal'}"] if entry == "predict" else [])]
    assert call_here(entry, *given, monkeypatch=monkeypatch) == 1
    said = capfd.readouterr()
    assert "RunError" in said.out and "could run any code" in said.out and "Traceback" not in said.out + said.err
    assert not (tmp_path / "marker").exists() and not (detector.folder / "predictions").exists()


def test_a_trained_run_is_opened_without_optimiser_logger_and_callbacks(detector, tmp_path, monkeypatch):
    poison(detector, "callbacks.own", "config.yaml", tmp_path / "marker")
    poison(detector, "callbacks.own", "checkpoint", tmp_path / "marker")
    built = []
    instantiate = sys.modules["anomask.build"].instantiate
    noted = lambda node, *a, **k: (built.append(node["_target_"]), instantiate(node, *a, **k))[1]
    monkeypatch.setattr("anomask.build.instantiate", noted)
    assert open_stage(detector, "best").optimisation is None
    trained_with = ("optim", "callbacks", "loggers", "Trainer", "Path")
    assert "Encoder" in str(built) and not any(word in name for word in trained_with for name in built)
    assert not (tmp_path / "marker").exists()


def test_an_old_run_names_its_data_as_it_did(detector, toy_folder):
    old = "anomask.data.datamodule.SliceDataModule"
    for checkpoint in ("best", "last"):
        loaded = detector.load_checkpoint(checkpoint)
        loaded["settings"]["data"]["_target_"] = old
        write_checkpoint(detector.checkpoint_file(checkpoint), loaded)
    settings = yaml.safe_load(detector.settings_file.read_text())
    settings["data"]["_target_"] = old
    detector.write_settings(settings)
    threshold = json.loads(detector.threshold_file.read_text())
    detector.threshold_file.write_text(json.dumps({k: v for k, v in threshold.items() if k != "best_sha256"}))
    data = build_data(open_stage(detector, "best").settings)
    data.setup("test")
    assert len(data.test_set) == 22 and detector.read_threshold() == {
        name: value for name, value in threshold.items() if name != "best_sha256"
    }


@pytest.mark.slow
def test_one_checkpoint_one_place_one_threshold(detector, toy_folder, tmp_path):
    """Two data folders of one name, and the last checkpoint beside the best one."""
    other = shutil.copytree(toy_folder, tmp_path / "other" / toy_folder.name)
    (other / "test/normal/t000.png").unlink()
    first, second = evaluated(detector), evaluated(detector, folder=str(other))
    last = evaluated(detector, checkpoint="last")
    assert len({first, second, last}) == 3 and last.name == f"{toy_folder.name}_last"
    records = [json.loads((folder / "record.json").read_text()) for folder in (first, second, last)]
    assert [record["checkpoint"] for record in records] == ["best", "best", "last"]
    assert evaluated(detector) == first and json.loads((first / "record.json").read_text()) == records[0]
    stage = open_stage(detector, "last")
    fixed, scores = decision(detector, stage, "last")
    own = records[2]["threshold"]["threshold"] if "threshold" in records[2] else None
    assert own in (None, fixed["threshold"]) and len(scores) == fixed["n_normals"] == 12


def test_the_last_checkpoint_has_no_threshold_without_the_runs_data(detector, toy_folder, tmp_path):
    other = shutil.copytree(toy_folder, tmp_path / "moved")
    stage = open_stage(detector, "last")
    stage.settings["data"]["folder"] = str(tmp_path / "gone")
    with pytest.raises(RunError, match=r"checkpoint=last .* has no threshold, and none can be fixed without the data"):
        decision(detector, stage, "last")
    (other / "train/normal/n000.png").unlink()
    stage.settings["data"]["folder"] = str(other)
    with pytest.raises(RunError, match="has changed since"):
        decision(detector, stage, "last")


def test_a_threshold_of_other_weights_is_not_used(detector):
    checkpoint = detector.load_checkpoint("best")
    write_checkpoint(detector.checkpoint_file("best"), checkpoint | {"extra": 1})
    with pytest.raises(RunError, match="was fixed with other weights than checkpoints/best.ckpt"):
        evaluated(detector)


def test_threshold_and_evaluation_have_one_arithmetic(tiny, codebook):
    common = ["stage=detector", f"codebook_run={codebook.folder}", "trainer.precision=bf16-mixed"]
    run = fit(tiny(*common, name="bf16"))
    stage = open_stage(run, "best")
    settings = run.read_settings()
    data = build_data(settings, progress=False)
    data.setup("fit")
    scores = sorted(s for batch in data.ordered_loader(data.validation_set) for s in stage.detect(batch).score.tolist())
    assert run.read_normal_scores() == scores and run.read_threshold()["threshold"] in scores
    assert build_stage(settings, to_train=False).optimisation is None


def test_devices_that_are_not_here_are_one_line(detector, monkeypatch, capfd):
    missing = "cuda" if not torch.cuda.is_available() else "cuda:99"
    for entry, more in (("evaluate", []), ("predict", ["input=x"])):
        for device in (missing, "abacus"):
            given = [f"run={detector.folder}", *more, f"device={device}"]
            assert call_here(entry, *given, monkeypatch=monkeypatch) == 1
            said = capfd.readouterr()
            assert f"ConfigError: device is '{device}', which cannot be used here" in said.out
            assert "Traceback" not in said.out + said.err


@pytest.mark.parametrize("overrides", [[], ["+callbacks.own._target_=pathlib.Path"]])
def test_a_run_of_own_callbacks_goes_on_without_them_or_with_those_that_are_typed(
    overrides, detector, tmp_path, caplog
):
    poison(detector, "callbacks.own", "config.yaml", tmp_path / "marker")
    plan = resumption(str(detector.folder), "runs", parse(overrides))
    assert "callbacks.own" in caplog.text and "is left out" in caplog.text
    assert plan.settings["callbacks"].get("own") == ({"_target_": "pathlib.Path"} if overrides else None)


def test_no_path_of_a_saved_run_is_taken(detector, tmp_path):
    elsewhere = str(tmp_path / "elsewhere")
    settings = detector.read_settings()
    settings["run"] = elsewhere
    settings["callbacks"]["best"]["dirpath"] = f"{elsewhere}/checkpoints"
    settings["logger"]["save_dir"] = elsewhere
    settings["trainer"]["default_root_dir"] = f"{elsewhere}/root"
    detector.write_settings(settings)
    found = resumption(str(detector.folder), "runs", []).settings
    assert elsewhere not in json.dumps(found) and found["run"] == str(detector.folder)


def test_evaluation_of_a_checkpoint_file_is_of_that_checkpoint(detector, monkeypatch, capfd, tmp_path):
    save(torch.zeros(32, 32, dtype=torch.uint8).numpy(), tmp_path / "one/slice.png")
    given = [f"run={detector.checkpoint_file('last')}", f"input={tmp_path / 'one'}", "maps=none", "progress=false"]
    assert call_here("predict", *given, monkeypatch=monkeypatch) == 0, capfd.readouterr()
    assert json.loads((detector.folder / "predictions/one/prediction.json").read_text())["checkpoint"] == "last"
