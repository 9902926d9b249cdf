"""The phantom: repeatable, exact masks, whole or absent on disk, and not solved by a trivial feature."""

import csv
import hashlib
import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scipy.stats import rankdata

from anomask.data.phantom import dataset as phantom
from anomask.data.phantom.dataset import FAMILIES, LESION_RISE_HU, phantom_slice, sample_patient, write_phantom
from anomask.errors import ConfigError, DataError

SMALL = {
    "size": 48,
    "train_patients": 2,
    "test_patients": 3,
    "slices_per_patient": 2,
    "abnormal_per_family": 3,
    "progress": False,
}


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "small"
    write_phantom(folder, **SMALL)
    return folder


def rows_of(folder):
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def trivial_features(image):
    """Mean, standard deviation and Laplacian standard deviation of a whole slice."""
    image = image.astype(np.float64)
    return image.mean(), image.std(), ndimage.laplace(image).std()


def auroc(normal, abnormal):
    ranks = rankdata(np.concatenate([normal, abnormal]))
    wins = ranks[len(normal) :].sum() - len(abnormal) * (len(abnormal) + 1) / 2
    return wins / (len(normal) * len(abnormal))


def test_auroc_on_a_hand_worked_case():
    assert auroc(np.array([1, 2, 3]), np.array([2, 4])) == pytest.approx((1.5 + 3) / 6)


@pytest.mark.parametrize(("size", "seed"), [*(pytest.param(128, s, marks=pytest.mark.slow) for s in (0, 1)), (64, 1)])
def test_no_trivial_feature_tells_lesion_slices_from_normals(tmp_path, size, seed):
    """At the default counts, also where coarse pixels might make all patients equally sharp.

    Training patients play no part, so two of them are enough.
    """
    write_phantom(tmp_path / "p", size=size, seed=seed, train_patients=2, progress=False)
    features = {}
    for row in rows_of(tmp_path / "p"):
        if row["split"] == "test":
            image = np.asarray(Image.open(tmp_path / "p" / row["path"]))
            features.setdefault(row["disease"], []).append(trivial_features(image))
    normal = np.array(features.pop(""))
    assert set(features) == set(FAMILIES)
    for family, values in features.items():
        for name, healthy, ill in zip(("mean", "std", "laplacian std"), normal.T, np.array(values).T, strict=True):
            assert 0.35 <= auroc(healthy, ill) <= 0.65, (family, name)


def test_the_same_settings_give_the_same_bytes_and_another_seed_others(small, tmp_path):
    write_phantom(tmp_path / "again", **SMALL)
    assert digests(tmp_path / "again") == digests(small)
    write_phantom(tmp_path / "other", **SMALL, seed=1)
    other, first = digests(tmp_path / "other"), digests(small)
    images = [name for name in first if "/normal/" in name and "masks" not in name]
    assert images and all(first[name] != other[name] for name in images)


@pytest.mark.parametrize("family", FAMILIES)
def test_masks_are_exact_and_lesions_stand_out(family):
    """The lesion slice differs from its healthy twin inside the mask, by more than the noise, and hardly elsewhere."""
    for index in range(6):
        patient = sample_patient(np.random.default_rng([7, index]))
        level = 0.1 + 0.15 * index
        healthy = phantom_slice(patient, level, 96, np.random.default_rng(index))
        ill = phantom_slice(patient, level, 96, np.random.default_rng(index), family)
        assert not healthy.lesion_mask.any() and ill.lesion_mask.sum() >= 8
        assert ill.hu.dtype == np.float32 and ill.lung_mask.dtype == ill.lesion_mask.dtype == bool
        assert np.array_equal(healthy.lung_mask, ill.lung_mask)
        assert not (ill.lesion_mask & ~ill.lung_mask).any()
        rise = ill.hu - healthy.hu
        assert rise[ill.lesion_mask].mean() > max(100, 2 * patient.noise_hu)
        outside = ~ndimage.binary_dilation(ill.lesion_mask, iterations=2)
        assert np.abs(rise[outside]).max() < 2.5 * LESION_RISE_HU  # sharpening may overshoot a little
        assert np.abs(rise[outside]).mean() < 2


def test_families_look_like_their_namesakes():
    """Hand-made numbers of the pictures: how dense, in how many pieces, on how many sides."""
    dense, pieces, sides = {}, {}, {}
    for family in FAMILIES:
        found = []
        for index in range(8):
            patient = sample_patient(np.random.default_rng([3, index]))
            healthy = phantom_slice(patient, 0.5, 128, np.random.default_rng(index))
            ill = phantom_slice(patient, 0.5, 128, np.random.default_rng(index), family)
            columns = np.nonzero(ill.lesion_mask)[1] < 64
            rise = (ill.hu - healthy.hu)[ill.lesion_mask]
            smaller_side = min(columns.mean(), 1 - columns.mean())
            found.append((np.percentile(rise, 90), ndimage.label(ill.lesion_mask)[1], smaller_side))
        dense[family], pieces[family], sides[family] = np.median(found, 0)
    assert 150 < dense["covid19"] < 500 < min(dense["bacterial"], dense["cancer"], dense["fungal"])
    assert pieces["cancer"] <= 2 and pieces["bacterial"] <= 2 and pieces["fungal"] >= 2
    assert sides["cancer"] < 0.02 and sides["bacterial"] < 0.02 and sides["covid19"] > 0.02


def test_layout_manifest_and_settings(small):
    rows = rows_of(small)
    assert list(rows[0]) == ["path", "split", "label", "disease", "patient", "source", "mask", "lung_mask"]
    assert len(rows) == 2 * 2 + 3 * 2 + 5 * 3
    for row in rows:
        ill = row["label"] == "abnormal"
        group = f"abnormal/{row['disease']}" if ill else "normal"
        assert row["path"].startswith(f"{row['split']}/{group}/")
        assert ill == bool(row["mask"]) == bool(row["disease"])
        assert row["source"] == "synthetic phantom"
        lung = np.asarray(Image.open(small / row["lung_mask"]))
        assert np.asarray(Image.open(small / row["path"])).shape == lung.shape == (48, 48)
        assert set(np.unique(lung)) == {0, 255}
        if ill:
            mask = np.asarray(Image.open(small / row["mask"]))
            assert set(np.unique(mask)) == {0, 255} and not (mask > lung).any()
    named = {row[key] for row in rows for key in ("path", "mask", "lung_mask")} - {""}
    assert named | {"manifest.csv", "phantom.json"} == set(digests(small))
    settings = json.loads((small / "phantom.json").read_text())
    assert settings["synthetic"] is True and settings["seed"] == 0 and settings["window_low_hu"] == -1350.0


def test_patients_are_in_one_split_and_every_test_patient_is_both_healthy_and_ill(small):
    rows = rows_of(small)
    by_split = {split: {row["patient"] for row in rows if row["split"] == split} for split in ("train", "test")}
    assert not by_split["train"] & by_split["test"]
    for family in ("", *FAMILIES):
        patients = {row["patient"] for row in rows if row["split"] == "test" and row["disease"] == family}
        assert patients == by_split["test"]


def test_an_identical_phantom_is_kept_and_anything_else_refused(small, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    write_phantom(small, **SMALL)
    assert before == {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    with pytest.raises(DataError, match="other settings"):
        write_phantom(small, **SMALL, seed=5)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="not a phantom"):
        write_phantom(foreign, **SMALL)
    assert digests(foreign).keys() == {"thesis.txt"}


def test_a_writer_killed_half_way_leaves_nothing(tmp_path, monkeypatch):
    drawn = []

    def dies(*args):
        drawn.append(args)
        if len(drawn) > 5:
            raise KeyboardInterrupt
        return phantom_slice(*args)

    monkeypatch.setattr(phantom, "phantom_slice", dies)
    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path / "p", **SMALL)
    assert len(drawn) == 6 and not list(tmp_path.iterdir())


def test_a_faster_writer_of_the_same_phantom_is_no_error_and_of_another_is(tmp_path, monkeypatch):
    folder, raced = tmp_path / "p", []

    def overtaken(*args):
        if not raced:
            raced.append(True)
            write_phantom(folder, **{**SMALL, "seed": other_seed})
        return phantom_slice(*args)

    monkeypatch.setattr(phantom, "phantom_slice", overtaken)
    other_seed = 0
    write_phantom(folder, **SMALL)
    assert raced and (folder / "manifest.csv").exists() and list(tmp_path.iterdir()) == [folder]
    folder, other_seed = tmp_path / "q", 1
    raced.clear()
    with pytest.raises(DataError, match="other settings"):
        write_phantom(folder, **SMALL)


def test_impossible_wishes_are_refused(tmp_path):
    patient, rng = sample_patient(np.random.default_rng(0)), np.random.default_rng(0)
    with pytest.raises(ConfigError, match="family is 'flu'"):
        phantom_slice(patient, 0.5, 64, rng, "flu")
    with pytest.raises(ConfigError, match=r"level is 1\.5"):
        phantom_slice(patient, 1.5, 64, rng)
    with pytest.raises(ConfigError, match="counts >= 1"):
        write_phantom(tmp_path / "p", **{**SMALL, "test_patients": 0})
