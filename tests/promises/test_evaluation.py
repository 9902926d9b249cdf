"""What an evaluation writes besides its record, comparisons of two runs, and data on which figures are not defined."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from anomask.errors import ConfigError, DataError, RunError
from anomask.evaluation.compare import compare
from anomask.files import write_json
from anomask.runs.folder import Run
from anomask.settings.schema import CompareConfig
from tests.conftest import evaluated, fit, save, toy_slice
from tests.tracking.offline_files import OfflineRun, files_of, finished, values

COMPARE = CompareConfig(first="", second="", runs="runs", bootstrap=50, seed=0)


def record_of(folder):
    return json.loads((folder / "record.json").read_text())


def test_rows_carry_intervals_floors_and_lesions(detector):
    folder = evaluated(detector, maps=True)
    record = record_of(folder)
    assert {"auroc", "ap", "sensitivity", "specificity", "within_patient_auroc"} == set(record["image"][0]["intervals"])
    assert record["image"][0]["intervals"]["auroc"]["unit"] == record["bootstrap"]["unit"] == "slice"
    own = [row for row in record["pixel"] if row["map"] == "anomaly map" and row["region"] == "lung"]
    assert [row["group"] for row in own] == ["all", "nodule", "opacity"]
    assert [row["intervals"]["ap"]["low"] is None for row in own] == [False, True, True]  # six slices of a disease
    assert own[0]["intervals"]["ap"]["low"] <= own[0]["ap"] <= own[0]["intervals"]["ap"]["high"]
    assert "not defined, n = 6 slices" in (folder / "summary.md").read_text()
    for row in own:
        assert row["beats_floor"] == (row["ap"] > row["floor"]["ap"]) and row["dice"] is not None
    floors = {row["map"] for row in record["pixel"]}
    assert floors >= {"smoothed intensity", "distance to mean slice", "z-score", "residual", "probability"}
    assert {(row["group"], row["region"]) for row in record["lesions"]} == {(r["group"], r["region"]) for r in own} | {
        (r["group"], "slice") for r in own
    }
    assert record["cost"]["steps"] == 4 and record["cost"]["seconds"] > 0
    assert record["looks"] == {"mirror": True, "crops": False}
    training = record["training"]
    assert training["trainer"]["max_steps"] == 4 and training["data"]["batch_size"] == 8 and "augment" in training
    assert record["packages"]["torch"] == torch.__version__ and record["processor"]
    assert str(detector.folder.parents[1]) not in json.dumps(record)  # records are published: no path of a machine
    assert record["threshold"]["pixel"]["specificity"] == 0.99
    maps = sorted((folder / "maps").rglob("*.png"))
    assert len(maps) == 22 and np.asarray(Image.open(maps[0])).dtype == np.uint16
    lines = (folder / "scores.csv").read_text().splitlines()
    assert lines[0].endswith("pixel_region,pixel_auroc,pixel_ap,pixel_dice,note") and len(lines) == 23
    text = (folder / "summary.md").read_text()
    assert (
        "oracle Dice" in text
        and "FROC" in text
        and ("(below floor)" in text)
        == any(row.get("beats_floor") is False for row in record["image"] + record["pixel"])
    )


def test_pixel_threshold_keeps_its_specificity_on_validation_normals(detector, tiny):
    from anomask.build import build_data, open_stage

    data = build_data(tiny("stage=detector"), progress=False)
    data.setup("fit")
    stage = open_stage(detector, "best")
    maps = np.concatenate([stage.detect(batch).anomaly_map.numpy().ravel() for batch in data.val_dataloader()])
    threshold = detector.read_threshold()["pixel"]
    assert (maps > threshold["threshold"]).mean() == pytest.approx(0.01, abs=2e-3)
    assert threshold["n_pixels"] == maps.size


def test_wandb_offline_gets_the_records_numbers(detector):
    write_json(detector.wandb_file, {"id": "abc", "step": 3})  # as if it had been trained with logger=wandb
    folder = evaluated(detector, wandb="offline")
    (file,) = files_of(detector.folder)
    records = finished(file)
    logged = OfflineRun(records)
    assert logged.config["training_run"] == "abc" != logged.run.run_id
    assert (logged.run.run_group, logged.run.job_type) == (detector.read_settings()["name"], "evaluate")
    summary, keys = {}, set()
    for entry in records:
        summary |= values(entry.summary.update)
        keys |= values(entry.history.item).keys()
    row = record_of(folder)["image"][0]
    assert summary["image/all/auroc"] == pytest.approx(row["auroc"])
    assert summary["image/all/specificity"] == pytest.approx(row["specificity"])
    assert all(any(key.startswith(name) for key in keys) for name in ("roc", "precision_recall", "worst_slices"))
    with pytest.raises(ConfigError, match="wandb is 'on'"):
        evaluated(detector, wandb="on")


def test_a_run_equals_itself_and_another_one_differs_with_an_interval(evaluated_detector, tiny, codebook):
    detector = evaluated_detector
    other = fit(tiny("stage=detector", f"codebook_run={codebook.folder}", "seed=5", name="other"))
    evaluated(other)
    rows = json.loads(compare(detector, detector, COMPARE).read_text())["rows"]
    assert all(row["values"][0] == row["values"][1] and row["p"] in (1.0, None) for row in rows)
    result = compare(detector, other, COMPARE)
    rows = json.loads(result.read_text())["rows"]
    names = {row["figure"] for row in rows}
    assert names >= {"slice AUROC", "slice AP", "pixel ap, lung", "pixel aupro, slice"}
    tested = [row for row in rows if row["p"] is not None]
    assert [row["group"] for row in tested] == ["all"] * 8  # of each disease there are six slices
    for row in tested:
        assert row["low"] <= row["values"][0] - row["values"][1] + 0.1 and 0 < row["p"] <= row["p_holm"] <= 1
    text = result.with_suffix(".md").read_text()
    assert "95 % interval" in text and "not defined, 16 slices as good as 6.0" in text


def test_a_run_not_evaluated_is_not_compared(detector):
    with pytest.raises(RunError, match="0 evaluations"):
        compare(detector, detector, COMPARE)


def test_a_run_evaluated_twice_is_not_compared(evaluated_detector):
    detector = evaluated_detector
    (folder,) = (detector.folder / "evaluation").iterdir()
    shutil.copytree(folder, folder.with_name("other"))
    with pytest.raises(RunError, match=r"2 evaluations .*choose with name="):
        compare(detector, detector, COMPARE)


def test_the_one_test_set_that_both_were_evaluated_on_is_compared(evaluated_detector, tmp_path):
    detector, other = evaluated_detector, Run(tmp_path / "other")
    shutil.copytree(detector.folder, other.folder)
    (folder,) = (detector.folder / "evaluation").iterdir()
    second = shutil.copytree(folder, folder.with_name("a_hospital"))
    (second / "record.json").write_text(json.dumps(record_of(second) | {"fingerprint": "of another data folder"}))
    assert compare(detector, other, COMPARE).parent == folder


def test_evaluations_on_different_data_or_incomplete_ones_are_not_compared(evaluated_detector, tmp_path):
    detector = evaluated_detector
    (folder,) = (detector.folder / "evaluation").iterdir()
    other = Run(tmp_path / "other")
    shutil.copytree(detector.folder, other.folder)
    target = other.folder / "evaluation" / folder.name
    np.savez(target / "pixels_lung.npz", **(dict(np.load(folder / "pixels_lung.npz")) | {"unit": np.array("patient")}))
    with pytest.raises(RunError, match="different patients or slices"):
        compare(detector, other, COMPARE)
    record = record_of(target)
    (target / "record.json").write_text(json.dumps(record | {"fingerprint": "0"}))
    with pytest.raises(RunError, match="different data"):
        compare(detector, other, COMPARE)
    (target / "record.json").write_text(json.dumps(record))
    (target / "scores.csv").unlink()
    with pytest.raises(RunError, match=r"no scores\.csv in"):
        compare(detector, other, COMPARE)


@pytest.fixture
def other_folder(toy_folder, tmp_path):
    """The toy data with a test set of one's own."""

    def make(normals, abnormal):
        folder = tmp_path / "own"
        shutil.copytree(toy_folder / "train", folder / "train")
        rng = np.random.default_rng(1)
        for index in range(normals):
            save(toy_slice(rng)[0], folder / f"test/normal/n{index}.png")
        for index in range(abnormal):
            image, mask, _ = toy_slice(rng, lesion=True)
            save(image, folder / f"test/abnormal/nodule/a{index}.png")
            save(mask.astype(np.uint8) * 255, folder / f"test/masks/nodule/a{index}.png")
        return folder

    return make


def test_one_class_only_is_not_defined_and_says_so(detector, other_folder):
    folder = evaluated(detector, folder=str(other_folder(0, 6)), wandb="offline")  # curves of one class are empty
    row = record_of(folder)["image"][0]
    assert row["auroc"] is None and row["specificity"] is None and row["beats_floor"] is None
    assert row["intervals"]["auroc"]["low"] is None and row["sensitivity"] is not None
    text = (folder / "summary.md").read_text()
    assert (
        "| all     | 6 / 0" in text and "| nodule" not in text
    )  # the only disease: its rows would repeat those of all


def test_too_few_slices_for_a_bootstrap_give_no_interval(detector, other_folder):
    record = record_of(evaluated(detector, folder=str(other_folder(2, 2))))
    assert record["image"][0]["auroc"] is not None and record["image"][0]["intervals"]["auroc"]["low"] is None
    assert record["pixel"][0]["intervals"]["ap"]["low"] is None


def test_a_mask_of_another_size_or_on_a_normal_slice_is_an_error(detector, other_folder):
    folder = other_folder(2, 2)
    save(np.zeros((16, 16), np.uint8), folder / "test/masks/nodule/a0.png")
    with pytest.raises(DataError, match=r"a0\.png.*16"):
        evaluated(detector, folder=str(folder))
    save(np.zeros((32, 32), np.uint8), folder / "test/masks/nodule/a0.png")
    save(np.full((32, 32), 255, np.uint8), folder / "test/masks/normal/n0.png")
    with pytest.raises(DataError, match="normal"):
        evaluated(detector, folder=str(folder))
