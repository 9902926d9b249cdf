"""An exported file detects what its run detects, says what it is, and runs nothing that is not checked."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import anomask
from anomask.build import open_stage
from anomask.errors import ConfigError, RunError
from anomask.prediction import export as module
from anomask.prediction.card_text import card_text
from anomask.prediction.export import export
from anomask.prediction.exported import CARD_KEY, open_exported
from anomask.prediction.run_model import model_of
from anomask.runs import Run
from anomask.scoring.crops import Crops
from anomask.scoring.looks import Looks, LooksAtOnce
from tests.conftest import TINY, evaluated, fit, predicted, settings_of
from tests.promises.test_entries import call_here

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def default(toy_folder, tmp_path_factory):
    """The default in small, with its crops and its frame, evaluated once, and its export."""
    home = tmp_path_factory.mktemp("exported")
    small = [one for one in TINY if not one.startswith(("model.", "data=folder", "stage."))]
    own = [f"data.folder={toy_folder}", f"paths.cache={home}/cache", f"run={home}/runs/ours", "name=ours"]
    network = "model.network.features=[4,4,8,8,8,4]"
    run = fit(settings_of("experiment=detector", "data=folder", "data.crop=lungs", network, *small, *own))
    evaluated(run)
    export(run, "best", home / "ours.onnx")
    return run, home / "ours.onnx"


def test_looks_at_once_are_the_same_looks():
    image = torch.rand(3, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    weight = torch.rand(24, 24, generator=torch.Generator().manual_seed(1))
    for mirror, crops in ((True, Crops(1.5, 2)), (False, Crops(2.0, 3)), (True, None), (False, None)):
        found = LooksAtOnce(mirror, crops)(lambda one: one * weight, image)
        assert torch.allclose(found, Looks(mirror, crops)(lambda one: one * weight, image), atol=1e-6)


def test_an_export_finds_what_its_run_finds_and_needs_nothing_of_it(default, toy_folder, tmp_path):
    run, file = default
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(file.read_bytes())
    ours, theirs = anomask.load(alone), anomask.load(run.folder)
    assert ours.card == theirs.card and ours.card.normal_scores == run.read_normal_scores()
    for slice_ in sorted((toy_folder / "test").glob("*/*.png")):
        one, other = ours(slice_), theirs(str(slice_))
        assert np.abs(one.anomaly_map - other.anomaly_map).max() < 1e-5 and one.anomaly_map.shape == (32, 32)
        assert abs(one.score - other.score) < 1e-5
        assert (
            one.called_abnormal.tolist()
            == other.called_abnormal.tolist()
            == [one.score > ours.card.threshold["threshold"]]
        )


def test_a_detector_of_tokens_is_exported_too(detector, tmp_path, capfd, caplog):
    caplog.set_level("INFO")
    export(detector, "best", tmp_path / "tokens.onnx")
    said = capfd.readouterr()
    assert said.out + said.err == "" and len(caplog.messages) == 1  # nothing of the exporter's own
    assert caplog.messages[0].startswith("equal to the checkpoint within")
    image = (np.random.default_rng(0).random((3, 40, 30)) * 255).astype(np.uint8)
    one, other = (anomask.load(place)(image) for place in (tmp_path / "tokens.onnx", detector.folder))
    assert np.abs(one.anomaly_map - other.anomaly_map).max() < 1e-5 and one.anomaly_map.shape == (3, 40, 30)


def test_commands_export_describe_and_predict(default, toy_folder, tmp_path, monkeypatch, capfd):
    run, file = default
    monkeypatch.chdir(tmp_path)
    assert call_here("describe", f"run={file}", monkeypatch=monkeypatch) == 0
    said = capfd.readouterr().out
    assert said == card_text(model_of(run).card)
    assert "toy0: slice AUROC 0." in said and "research use" in said.lower() and "80% of 12 validation normals" in said
    slices = toy_folder / "test/abnormal/nodule"
    assert (
        call_here("predict", f"run={file}", f"input={slices}", "output=found", "names=input", monkeypatch=monkeypatch)
        == 0
    )
    folder, _ = predicted(run, slices, output=str(tmp_path / "wanted"))
    for row in ("n000.png", "n003.png"):
        maps = [place / "maps" / row for place in (folder, tmp_path / "found")]
        pair = [np.asarray(Image.open(place), np.int32) for place in maps]
        assert np.abs(pair[0] - pair[1]).max() <= 1
    about = [json.loads((place / "prediction.json").read_text()) for place in (folder, tmp_path / "found")]
    assert about[0]["threshold"] == about[1]["threshold"] and about[1]["run"] == "ours"
    for wrong in ("device=cuda", "checkpoint=last"):
        assert call_here("predict", f"run={file}", f"input={slices}", wrong, monkeypatch=monkeypatch) == 1
        assert "runs on the CPU and holds one checkpoint" in capfd.readouterr().out
    assert call_here("export", f"run={run.folder}", "output=ours.bin", monkeypatch=monkeypatch) == 1
    assert "ends in .onnx is wanted" in capfd.readouterr().out


def test_an_exported_file_needs_neither_hydra_nor_lightning(default, toy_folder):
    slice_ = next((toy_folder / "test/normal").glob("*.png"))
    code = f"""
import sys, anomask
found = anomask.load({str(default[1])!r})({str(slice_)!r})
heavy = {{"hydra", "pytorch_lightning", "lightning_fabric", "wandb", "torchmetrics"}}
print(found.score, sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1:] == ["[]"]


def changed_card(file, target, change):
    model = onnx.load(file)
    card = json.loads({entry.key: entry.value for entry in model.metadata_props}[CARD_KEY])
    onnx.helper.set_model_props(model, {CARD_KEY: change(card)})
    onnx.save(model, target)
    return target


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda card: json.dumps(card | {"format": 2}), "is damaged or of another version"),
        (lambda card: json.dumps(card | {"size": 10**9}), "size is 1000000000"),
        (lambda card: json.dumps(card | {"crop": "os.system"}), "crop is 'os.system'"),
        (lambda card: json.dumps(card | {"threshold": {}}), "is damaged or of another version"),
        (lambda card: "{", "its card is no JSON"),
    ],
)
def test_a_damaged_card_is_refused(change, said, default, tmp_path):
    with pytest.raises(RunError, match=said):
        open_exported(changed_card(default[1], tmp_path / "bad.onnx", change))


def test_other_files_are_refused_in_one_line(default, tmp_path):
    (tmp_path / "cut.onnx").write_bytes(default[1].read_bytes()[:5000])
    model = onnx.load(default[1])
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    for name, said in (("cut", "damaged or no ONNX"), ("foreign", "not one of anomask export"), ("none", "no file")):
        with pytest.raises(RunError, match=said) as caught:
            anomask.load(tmp_path / f"{name}.onnx")
        assert "\n" not in str(caught.value)


def test_an_export_that_differs_is_not_kept(default, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "difference", lambda *_: 2e-5)
    with pytest.raises(RunError, match=r"differs from its checkpoint by 2e-05, more than 1e-05: nothing was written"):
        export(default[0], "best", tmp_path / "new.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_gives_no_numbers_differs(default, monkeypatch):
    run, file = default
    stage, model = open_stage(run, "best"), open_exported(file)
    assert module.difference(stage, model.card, file) < 1e-5
    see = model.see
    model.see = lambda *given: tuple(part * np.nan for part in see(*given))
    monkeypatch.setattr(module, "open_exported", lambda _: model)
    assert not module.difference(stage, model.card, file) <= module.TOLERANCE


def test_a_graph_of_another_size_than_its_card_says_is_one_error(default, tmp_path):
    bad = changed_card(default[1], tmp_path / "bad.onnx", lambda card: json.dumps(card | {"size": 16}))
    with pytest.raises(RunError, match="its graph does not do what its card says") as caught:
        anomask.load(bad)(np.zeros((16, 16), np.uint8))
    assert "\n" not in str(caught.value)


def test_a_damaged_record_costs_its_figures_and_no_detection(default, tmp_path, caplog):
    run = Run(shutil.copytree(default[0].folder, tmp_path / "run", symlinks=True))
    (record,) = run.folder.glob("evaluation/*/record.json")
    record.write_text("{")
    assert model_of(run).card.figures == [] and "the card goes without an evaluation" in caplog.text


def test_without_onnx_the_way_to_get_it_is_named(default, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for act in (lambda: export(default[0], "best", tmp_path / "a.onnx"), lambda: open_exported(default[1])):
        with pytest.raises(ConfigError, match=r"pip install 'anomask\[export\]'"):
            act()


def test_unknown_runs_and_batches_of_none_are_refused(tmp_path):
    with pytest.raises(RunError, match="no detector or baseline run at 'nowhere'"):
        anomask.load("nowhere", runs=tmp_path)
    with pytest.raises(ConfigError, match="batch_size is 0"):
        anomask.load("nowhere", batch_size=0)
