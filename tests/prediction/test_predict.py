"""Predictions of slices and volumes: the scores of an evaluation, maps where they belong, and inputs with faults."""

import csv
import gzip
import json
import shutil
import struct
import zlib

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from anomask.batches import Detection
from anomask.data.volumes.window import to_grey
from anomask.errors import ConfigError, DataError, RunError
from anomask.prediction import run_model as module
from anomask.prediction.predict import choose_window
from anomask.prediction.run_model import model_of
from anomask.runs.folder import Run
from anomask.training.train import train
from tests.conftest import TINY, evaluated, predicted, run_of, save, settings_of, toy_slice
from tests.preparation.made import BIRTH, ID, NAME, chest, write_series
from tests.promises.test_entries import call_here

KNOWN = {"specificity": 0.95, "n_normals": 20}  # of a threshold
LUNG = (-1350.0, 150.0)


@pytest.fixture(scope="module")
def trained(toy_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    fixed = [*TINY, f"data.folder={toy_folder}", f"paths.runs={folder}/runs", f"paths.cache={folder}/cache"]
    train(codebook := settings_of(*fixed, "stage=codebook", f"run={folder}/runs/codebook"), run_of(codebook))
    settings = settings_of(
        *fixed, "stage=detector", f"codebook_run={folder}/runs/codebook", f"run={folder}/runs/detector"
    )
    train(settings, run_of(settings))
    return run_of(settings)


def table(folder, name="scores.csv"):
    with (folder / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


class Bright:
    """A detector whose map is the slice itself and whose score is its mean: geometry can then be told exactly."""

    def __init__(self, size, lung_masks="given", within_lung=False):
        data, scoring = {"size": size, "lung_masks": lung_masks}, {"within_lung": within_lung}
        self.settings = {"name": "bright", "data": data, "scoring": scoring}

    def to(self, device):
        return self

    def detect(self, batch):
        return Detection(batch.image, batch.image.mean((1, 2, 3)), batch.image[:, 0], batch.image)


@pytest.fixture
def bright(tmp_path, monkeypatch):
    """Return bright(size): a run folder whose detector is `Bright`."""

    def make(size, score=0.5, pixel=0.8, **settings):
        run = Run(tmp_path / "bright")
        run.write_checkpoint("best", {"state_dict": {}, "settings": {}})  # thresholds belong to these weights
        run.write_threshold(KNOWN | {"threshold": score, "pixel": {"threshold": pixel}})
        monkeypatch.setattr(module, "open_stage", lambda *_: Bright(size, **settings))
        return run

    return make


# ------------------------------------------------------------------------------------------------------------- slices


def test_scores_and_maps_of_slices_are_those_of_an_evaluation(trained, toy_folder, tmp_path):
    wanted = evaluated(trained, maps=True)
    folder, faults = predicted(trained, toy_folder / "test", batch_size=4, output=str(tmp_path / "out"))
    ours, theirs = table(folder), table(wanted)
    assert faults == [] and len(ours) == 22
    assert [f"test/{row['file']}" for row in ours] == [row["path"] for row in theirs]
    for name in ("score", "threshold", "called_abnormal"):
        assert [row[name] for row in ours] == [row[name] for row in theirs]
    for row in ours:
        assert (folder / "maps" / row["file"]).read_bytes() == (wanted / "maps/test" / row["file"]).read_bytes()
        assert Image.open(folder / "overlays" / row["file"]).size == (32, 32)
    normals = trained.read_normal_scores()
    assert len(normals) == 12 == trained.read_threshold()["n_normals"]
    for row in ours:
        share = sum(normal <= float(row["score"]) for normal in normals) / len(normals)
        assert float(row["percentile"]) == pytest.approx(100 * share)


def test_candidates_are_the_regions_of_the_map_and_are_counted_alike_everywhere(bright, tmp_path):
    image = np.full((40, 60), 30, np.uint8)
    image[5:9, 10:20], image[30:33, 50:52], image[20, 20] = 250, 255, 255  # the last is smaller than min_pixels
    save(image, tmp_path / "in/a.png")
    save(np.full((40, 60), 20, np.uint8), tmp_path / "in/b.png")
    folder, _ = predicted(bright(60), tmp_path / "in", output=str(tmp_path / "out"))
    rows = table(folder, "candidates.csv")
    assert [(row["file"], row["pixels"], row["size"], row["unit"]) for row in rows] == [
        ("a.png", "6", "6.0", "px"),
        ("a.png", "40", "40.0", "px"),
    ]
    first = {name: rows[1][name] for name in ("first_row", "last_row", "first_column", "last_column", "centroid_row")}
    assert first == {
        "first_row": "5",
        "last_row": "8",
        "first_column": "10",
        "last_column": "19",
        "centroid_row": "6.5",
    }
    assert rows[0]["peak_slice"] == rows[0]["peak_x_mm"] == ""
    listed = json.loads((folder / "candidates.json").read_text())
    assert [entry["n_pixels"] for entry in listed] == [6, 40] and listed[0]["box"] == [[30, 32], [50, 51]]
    assert [row["candidates"] for row in table(folder)] == ["2", "0"]
    record = json.loads((folder / "prediction.json").read_text())
    assert record["counts"] == {"slices": 2, "candidates": 2, "called_abnormal": 0} and "research" in record["note"]
    picture = np.asarray(Image.open(folder / "overlays/b.png"))  # the darkest colour of the scale, half laid over
    assert picture.shape == (40, 60, 3) and "percentile" not in table(folder)[0]


def test_within_the_lung_only_lung_counts(bright, tmp_path):
    image, _, lung = toy_slice(np.random.default_rng(0), 64)
    save(image, tmp_path / "a.png")
    whole, _ = predicted(bright(64, pixel=0.6), tmp_path / "a.png", output=str(tmp_path / "whole"))
    inside, _ = predicted(
        bright(64, pixel=0.6, lung_masks="estimate", within_lung=True), tmp_path / "a.png", output=str(tmp_path / "in")
    )
    assert int(table(whole)[0]["candidates"]) > 0 == int(table(inside)[0]["candidates"])


def test_an_earlier_prediction_is_replaced_as_a_whole(bright, tmp_path):
    for name in ("a.png", "b.png"):
        save(np.full((8, 8), 9, np.uint8), tmp_path / "in" / name)
    run = bright(8)
    folder, _ = predicted(run, tmp_path / "in")
    assert folder == run.folder / "predictions/in" and "overlays/b.png" in files_in(folder)
    (tmp_path / "in/b.png").unlink()
    predicted(run, tmp_path / "in", maps="none", overlays=False)
    assert files_in(folder) == ["candidates.csv", "candidates.json", "index.html", "prediction.json", "scores.csv"]
    assert files_in(folder.parent) == [*(f"in/{name}" for name in files_in(folder)), "in_files.csv"]


# ------------------------------------------------------------------------------------------------------------ volumes


def ball(shape, affine, centre_mm, radius_mm):
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) @ affine[:3, :3].T + affine[:3, 3]
    return np.linalg.norm(places - centre_mm, axis=-1) < radius_mm


def rotation(degrees):
    turn = np.radians(degrees)
    return np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])


# Turned in the plane by 12 degrees; then stored with x or z the other way round, or with the axes in another order.
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = rotation(12) @ np.diag([1.5, 1.5, 3.0])
OBLIQUE[:3, 3] = (-20, 15, -100)
FLIPPED = OBLIQUE @ np.diag([-1, 1, -1, 1]) + np.array([[0, 0, 0, 9], [0] * 4, [0, 0, 0, 30], [0] * 4])
TURNED = OBLIQUE[:, [2, 0, 1, 3]]


@pytest.mark.parametrize("affine", [OBLIQUE, FLIPPED, TURNED], ids=["oblique", "flipped", "turned"])
@pytest.mark.parametrize("exact", [True, False], ids=["own size", "resized"])
def test_a_ball_in_a_nifti_is_found_at_its_place_in_the_sources_geometry(affine, exact, bright, tmp_path):
    shape = (12, 40, 36) if affine is TURNED else (40, 36, 12)
    centre = affine @ [*(np.array(shape) * (0.3, 0.6, 0.5)).round(), 1]
    inside = ball(shape, affine, centre[:3], 7.0)
    hu = np.where(inside, 100, -900).astype(np.int16)
    hu[inside & ball(shape, affine, centre[:3], 1.0)] = 140
    nib.save(nib.Nifti1Image(hu, affine), tmp_path / "scan.nii.gz")
    folder, _ = predicted(bright(40 if exact else 24), tmp_path / "scan.nii.gz", output=str(tmp_path / "out"))
    result = nib.load(folder / "maps/scan.nii.gz")
    assert result.shape == shape and result.get_data_dtype() == np.float32
    np.testing.assert_allclose(result.affine, affine, atol=1e-4)
    if exact:
        np.testing.assert_allclose(result.get_fdata(), to_grey(hu, LUNG, 8) / 255, atol=1e-6)
    (row,) = table(folder, "candidates.csv")
    found = [[float(row[f"{name}_{axis}_mm"]) for axis in "xyz"] for name in ("peak", "centroid")]
    voxel = np.linalg.norm(affine[:3, :3], axis=0).max()
    np.testing.assert_allclose(found[0], centre[:3], atol=1e-3 if exact else voxel)
    np.testing.assert_allclose(found[1], centre[:3], atol=0.2 if exact else 1.0)
    volume = 4 / 3 * np.pi * 7**3
    assert row["unit"] == "mm3" and float(row["size"]) == pytest.approx(volume, rel=0.15 if exact else 0.4)
    if exact:
        assert float(row["size"]) == pytest.approx(inside.sum() * abs(np.linalg.det(affine[:3, :3])))
    rows = table(folder)
    assert [row["slice"] for row in rows] == [str(index) for index in range(12)]
    reached = [int(row["slice"]) for row in rows if row["candidates"] == "1"]
    assert reached == list(range(int(row["first_slice"]), int(row["last_slice"]) + 1)) and 3 <= len(reached) <= 6
    assert len(files_in(folder / "overlays/scan")) == 12


def test_a_dicom_series_gives_a_map_in_its_millimetres_and_no_identity_gets_out(bright, tmp_path):
    hu, lungs = chest(slices=6)
    hu = np.where(lungs, -850, -1000) + np.zeros_like(hu)
    hu[2, 10:13, 20:24] = 100
    names = ["f", "a", "e", "b", "d", "c"]  # files in another order than the slices
    for series in ("first", "second"):
        write_series(tmp_path / "in" / series, hu, names=names)
    uid = write_series(tmp_path / "in/second", hu, names=[f"x{name}" for name in names])
    folder, faults = predicted(bright(32), tmp_path / "in", output=str(tmp_path / "out"))
    assert faults == []
    assert files_in(folder / "maps") == ["first.nii.gz", "second_1.nii.gz", "second_2.nii.gz"]
    first = table(folder, "candidates.csv")[0]
    assert (first["pixels"], first["size"]) == ("12", repr(12 * 2.5 * 0.7 * 0.7)) and first["centroid_slice"] == "2.0"
    # DICOM's x and y run to the left and back; NIfTI's and ours to the right and front.
    wanted = [11 - 0.7 * 21.5, 12 - 0.7 * 11, -100 + 2.5 * 2]
    np.testing.assert_allclose([float(first[f"centroid_{axis}_mm"]) for axis in "xyz"], wanted, atol=1e-4)
    image = nib.load(folder / "maps/first.nii.gz")
    at = np.rint(np.linalg.inv(image.affine) @ [*wanted, 1])[:3].astype(int)
    assert image.get_fdata()[tuple(at)] == pytest.approx(int(to_grey(np.array(100), LUNG, 8)) / 255)
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".gz")
    written += b"".join(gzip.decompress(path.read_bytes()) for path in folder.rglob("*.gz"))
    for secret in (NAME, NAME.split("^")[0], ID, BIRTH, uid):
        assert secret.encode() not in written


def test_volumes_and_slices_of_one_folder_and_png_maps_of_volumes(bright, tmp_path):
    hu = np.full((16, 16, 4), -900, np.int16)
    hu[0, 0, 0] = 40
    save(np.full((16, 16), 99, np.uint8), tmp_path / "in/a.png")
    (tmp_path / "in/p").mkdir()
    nib.save(nib.Nifti1Image(hu, OBLIQUE), tmp_path / "in/p/scan.nii")
    (tmp_path / "in/p/broken.nii").write_bytes(b"no volume")
    folder, faults = predicted(bright(16), tmp_path / "in", output=str(tmp_path / "out"), maps="both")
    assert [(row["file"], row["series"], row["slice"]) for row in table(folder)][:2] == [
        ("a.png", "", ""),
        ("p/scan", "p/scan", "0"),
    ]
    wanted = ["a.png", *(f"p/scan/{index:04d}.png" for index in range(4)), "p/scan.nii.gz"]
    assert files_in(folder / "maps") == sorted(wanted) and len(faults) == 1 and "broken.nii" in faults[0]
    grey = int(to_grey(np.array(-900), LUNG, 8))
    assert (np.asarray(Image.open(folder / "maps/p/scan/0002.png")) == grey * 257).all()


def test_a_series_with_a_gap_and_a_windowed_volume_are_used_if_it_is_said(bright, tmp_path):
    hu, _ = chest(slices=6)
    write_series(tmp_path / "gap", hu)
    (tmp_path / "gap/003.dcm").unlink()
    grey = to_grey(hu, LUNG, 8)
    nib.save(nib.Nifti1Image(grey.transpose(2, 1, 0), np.diag([-1, -1, 2, 1])), tmp_path / "windowed.nii.gz")
    run = bright(32)
    for place, said in (
        ("gap", {"allow_gaps": True}),
        ("windowed.nii.gz", {"values": "grey"}),
    ):
        advice = {"gap": "with allow_gaps=true", "windowed.nii.gz": "use values=grey"}[place]
        with pytest.raises(DataError, match=advice):
            predicted(run, tmp_path / place, strict=True)
        with pytest.raises(DataError, match="nothing of .* could be used"):
            predicted(run, tmp_path / place)
        folder, faults = predicted(run, tmp_path / place, output=str(tmp_path / f"out_{place}"), **said)
        kept = [0, 1, 2, 4, 5] if place == "gap" else range(6)
        wanted = [grey[z].mean() / 255 for z in kept]
        assert not faults and [float(row["score"]) for row in table(folder)] == pytest.approx(wanted, abs=1e-6)
    record = json.loads((folder / "prediction.json").read_text())
    assert record["values"] == "grey" and record["allow_gaps"] is False


def test_pixels_that_are_not_square_are_seen_square_and_their_map_lies_on_them(bright, tmp_path):
    hu, _ = chest(slices=3, size=64)
    write_series(tmp_path / "square", hu, spacing=(0.7, 0.7))
    write_series(tmp_path / "wide", hu[:, :, ::2], spacing=(0.7, 1.4))
    folder, _ = predicted(bright(64), tmp_path, output=str(tmp_path.parent / f"{tmp_path.name}_out"))
    square, wide = (nib.load(folder / f"maps/{name}.nii.gz") for name in ("square", "wide"))
    assert wide.shape == (32, 64, 3) and wide.header.get_zooms() == pytest.approx((1.4, 0.7, 2.5))
    scores = {
        name: np.mean([float(row["score"]) for row in table(folder) if row["series"] == name])
        for name in ("square", "wide")
    }
    assert scores["wide"] == pytest.approx(scores["square"], abs=0.01)  # padded to a square in pixels it was half of it
    np.testing.assert_allclose(wide.get_fdata(), to_grey(hu[:, :, ::2], LUNG, 8).transpose(2, 1, 0) / 255, atol=0.2)


def test_another_body_part_is_a_warning(bright, tmp_path, caplog):
    hu = np.full((32, 32, 4), 40, np.int16)
    hu[0] = -1000
    nib.save(nib.Nifti1Image(hu, OBLIQUE), tmp_path / "liver.nii")
    predicted(bright(32, lung_masks="estimate"), tmp_path / "liver.nii")
    assert "liver: lung is seen in 0 of 4 slices. Is it a chest CT" in caplog.text
    caplog.clear()
    save(toy_slice(np.random.default_rng(0), 64)[0], tmp_path / "a.png")
    predicted(bright(64, lung_masks="estimate"), tmp_path / "a.png")
    assert "lung is seen" not in caplog.text


def test_the_window_is_the_one_of_the_run(bright, tmp_path):
    run = bright(32)
    card = model_of(run).card
    assert choose_window(None, card) == LUNG and choose_window([-1000, 400], card) == (-1000, 400)
    about = {"sha256": None, "preparation": {"common": {"window": [-1000, 1000]}}}
    run.fingerprint_file.write_text(json.dumps(about))
    card = model_of(run).card
    assert choose_window(None, card) == choose_window("wide", card) == (-1000, 1000)
    with pytest.raises(ConfigError, match=r"window is lung; the run was trained on slices of the window \[-1000"):
        choose_window("lung", card)
    run.fingerprint_file.write_text(json.dumps({"sha256": None, "preparation": None}))
    assert choose_window(None, model_of(run).card) == LUNG


# ------------------------------------------------------------------------------------------------------------- faults


def png_of_size(side):
    """A PNG whose header claims side x side grey pixels and that holds next to none of them."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.fixture
def doubtful(tmp_path):
    folder = tmp_path / "doubtful"
    for name in ("good/a.png", "good/b.png", "colour.png", "cut.png"):
        save(np.random.default_rng(0).integers(0, 255, (16, 16), np.uint8), folder / name)
    whole = (folder / "cut.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    save(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8), folder / "colour.png")
    (folder / "huge.png").write_bytes(png_of_size(40_000))
    (folder / "cut.nii.gz").write_bytes(b"\x1f\x8b cut off")
    (folder / "away.png").symlink_to("/etc/hostname")
    return folder


def test_faults_are_one_line_each_and_the_rest_goes_on(bright, doubtful, caplog):
    folder, faults = predicted(bright(16), doubtful, output=str(doubtful.parent / "out"))
    assert [row["file"] for row in table(folder)] == ["good/a.png", "good/b.png"]
    for name in ("colour.png", "cut.png", "huge.png", "cut.nii.gz", "away.png"):
        (fault,) = (line for line in faults if name in line)
        assert fault in caplog.text and "\n" not in fault
    assert len(faults) == 5 and json.loads((folder / "prediction.json").read_text())["faults"] == faults


def test_strict_stops_and_leaves_nothing(bright, doubtful):
    with pytest.raises(DataError, match=r"away\.png"):
        predicted(bright(16), doubtful, output=str(doubtful.parent / "out"), strict=True)
    assert not (doubtful.parent / "out").exists() and not list(doubtful.parent.glob(".out*"))


def test_when_nothing_can_be_used_it_is_an_error_and_nothing_is_written(bright, doubtful, caplog):
    shutil.rmtree(doubtful / "good")
    caplog.set_level("INFO")
    with pytest.raises(DataError, match="nothing of .* could be used: 5 faults"):
        predicted(bright(16), doubtful, output=str(doubtful.parent / "out"))
    assert not (doubtful.parent / "out").exists() and not list(doubtful.parent.glob(".out*"))
    assert "files in the input:" in caplog.text and " fault: see the lines above (" in caplog.text


def test_settings_that_cannot_be_meant_are_errors(bright, doubtful):
    run = bright(16)
    (doubtful / "away.png").unlink()
    for changes, words in (
        ({"maps": "tiff"}, "maps is 'tiff'; use one of auto, png"),
        ({"maps": "nifti"}, "maps is nifti, and .* has single slices"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"limit": 0}, "limit is 0"),
        ({"min_pixels": 0}, "min_pixels is 0"),
        ({"values": "HU"}, "values is 'HU'; use one of hu, grey"),
        ({"output": str(doubtful / "out")}, "lies in the input"),
        ({"output": str(doubtful.parent)}, r"holds other files"),
        ({"window": "bone"}, "window is 'bone'; use lung"),
    ):
        with pytest.raises(ConfigError, match=words):
            predicted(run, doubtful, **changes)
    run.write_threshold(KNOWN | {"threshold": 0.5})
    with pytest.raises(RunError, match="no threshold for pixels"):
        predicted(run, doubtful)


def test_the_entry_ends_with_one_after_faults(trained, doubtful, tmp_path, monkeypatch, capfd):
    arguments = [f"run={trained.folder}", f"output={tmp_path}/out", "batch_size=2", "progress=false"]
    monkeypatch.chdir(tmp_path)
    assert call_here("predict", *arguments, f"input={doubtful}", monkeypatch=monkeypatch) == 1
    said = capfd.readouterr()
    assert "5 slices or volumes could not be used" in said.out
    assert len(table(tmp_path / "out")) == 2 and "Traceback" not in said.out + said.err
