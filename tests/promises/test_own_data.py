"""README's path for a hospital's own data: prepare, verify, train both stages, predict, page; three kinds of input."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.data import get_testdata_file

from tests.conftest import TINY
from tests.preparation.made import ID, NAME, write_image, write_nifti, write_series
from tests.promises.test_entries import call_here

WINDOW = (-1350.0, 150.0)


def volume(seed, lesion=False, slices=5, size=32):
    """[Z, H, W] int16 HU of a patient with a body and a pair of lungs of its own; a lesion in the middle slices."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    hu = np.full((slices, size, size), -1000.0)
    height, width, apart, tilt = rng.uniform([0.2, 0.1, 0.17, -0.5], [0.34, 0.17, 0.25, 0.5])
    for z in range(slices):
        grown = 0.75 + 0.3 * z / slices
        hu[z][(rows / 0.45) ** 2 + (columns / 0.48) ** 2 < 1] = 40
        for side in (-1, 1):
            across = columns - side * apart - tilt * side * rows * 0.3
            hu[z][(rows / (height * grown)) ** 2 + (across / (width * grown)) ** 2 < 1] = -850
    if lesion:
        hu[1:4, (rows**2 + (columns - apart) ** 2) < 0.008] = -150
    return (hu + rng.normal(0, 40, hu.shape)).round().clip(-1024, 3000).astype(np.int16)


def write_dicom(folder, seed, hu):
    write_series(folder / f"case{seed}", hu, PatientID=f"{ID}-{seed}")


def write_nifti_case(folder, seed, hu):
    write_nifti(folder / f"case{seed}.nii.gz", hu)


def write_pngs(folder, seed, hu):
    low, high = WINDOW
    for z, values in enumerate((np.clip(hu, low, high) - low) * 255 / (high - low)):
        write_image(folder / f"case{seed}" / f"{z}.png", np.rint(values).astype(np.uint8))


KINDS = {"dicom": write_dicom, "nifti": write_nifti_case, "png": write_pngs}


@pytest.mark.parametrize("kind", ["dicom", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("nifti", "png"))])
def test_from_an_export_to_the_page(kind, tmp_path, monkeypatch, capfd):
    for name in ("RUNS", "CACHE"):
        monkeypatch.setenv(f"ANOMASK_{name}", str(tmp_path / name.lower()))
    write = KINDS[kind]
    for seed in range(10):
        write(tmp_path / "normals", seed, volume(seed))
    for seed in range(20, 22):
        write(tmp_path / "sick", seed, volume(seed, lesion=True))

    def run(entry, *arguments):
        assert call_here(entry, *arguments, monkeypatch=monkeypatch) == 0, capfd.readouterr()

    output = tmp_path / "ours"
    patient = ["patient='(case\\d+)'"] if kind == "png" else []
    window = [] if kind == "png" else ["window=wide"]
    common = [*window, f"output={output}", f"key_file={tmp_path}/key", "workers=1", *patient]
    run("prepare", f"input={tmp_path}/normals", *common)
    run("prepare", f"input={tmp_path}/sick", "split=test", "disease=covid19", *common)
    run("verify", f"folder={output}", "scoring.specificity=0.8")
    settings = [*(key for key in TINY if key != "data=folder"), "data=folder", f"data.folder={output}"]
    settings = [part for part in settings if not part.startswith("model.")]
    run("train", "experiment=detector", "name=ours", "model.network.features=[4,4,8,8,8,4]", *settings)
    run("predict", "run=ours", f"input={tmp_path}/sick", "progress=false")
    (folder,) = filter(Path.is_dir, (tmp_path / "runs/ours/latest/predictions").iterdir())
    assert (folder / "index.html").is_file()
    known = json.loads((folder / "prediction.json").read_text())["window_hu"]
    assert known == ([-1350, 150] if kind == "png" else [-1000, 1000])  # that of the training slices
    with (folder / "scores.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 10
    maps = sorted((folder / "maps").rglob("*.nii.gz"))
    if kind == "nifti":
        for seed, path in zip((20, 21), maps, strict=True):
            source, ours = nib.load(tmp_path / f"sick/case{seed}.nii.gz"), nib.load(path)
            assert source.shape == ours.shape and np.allclose(source.affine, ours.affine, atol=1e-4)
    assert len(maps) == (0 if kind == "png" else 2)
    if kind == "dicom":  # a series that others made: one slice of an abdomen
        run("predict", "run=ours", f"input={get_testdata_file('CT_small.dcm')}", f"output={tmp_path}/other")
        assert (tmp_path / "other/index.html").is_file() and "lung" in capfd.readouterr().out
    written = b"".join(path.read_bytes() for path in output.rglob("*") if path.is_file())
    assert NAME.encode() not in written and ID.encode() not in written
