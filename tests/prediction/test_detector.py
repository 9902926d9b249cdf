"""Detection from Python: whatever a slice or volume comes as, the same is found, in its own geometry."""

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch

import anomask
from anomask.errors import ConfigError, DataError
from tests.conftest import predicted
from tests.preparation.made import chest, grey, write_image, write_nifti, write_series

HU = chest(slices=4, size=32)[0]


@pytest.fixture
def ours(detector):
    return anomask.load(detector.folder)


def test_a_slice_is_the_same_as_file_array_and_tensor(ours, detector, tmp_path):
    pixels = grey(0)[:, :28]
    write_image(tmp_path / "in/a.png", pixels)
    found = [ours(given) for given in (tmp_path / "in/a.png", str(tmp_path / "in"), pixels, torch.from_numpy(pixels))]
    folder, _ = predicted(detector, tmp_path / "in", output=str(tmp_path / "out"))
    line = (folder / "scores.csv").read_text().splitlines()[1]
    for one in found:
        assert one.anomaly_map.shape == (32, 28) and one.anomaly_map.dtype == np.float32
        assert np.array_equal(one.anomaly_map, found[0].anomaly_map) and one.scores.shape == (1,)
        assert f",{one.score}," in line and one.candidates == found[0].candidates
    with pytest.raises(ConfigError, match="has no geometry"):
        found[0].to_nifti()


def test_a_volume_is_the_same_as_nifti_series_image_and_array(ours, tmp_path):
    write_nifti(tmp_path / "scan.nii.gz", HU)
    write_series(tmp_path / "series", HU)
    image = nib.load(tmp_path / "scan.nii.gz")
    series = [pydicom.dcmread(path) for path in sorted((tmp_path / "series").iterdir())]
    given = (tmp_path / "scan.nii.gz", tmp_path / "series", image, series, HU, torch.from_numpy(HU))
    found = [ours(one) for one in given]
    for one in found:
        assert one.anomaly_map.shape == HU.shape and one.scores.shape == (4,) == one.called_abnormal.shape
        assert np.allclose(one.anomaly_map, found[0].anomaly_map, atol=1e-6) and one.score == one.scores.max()
    for one in (found[0], found[2]):
        written = one.to_nifti()
        assert written.shape == image.shape and np.allclose(written.affine, image.affine)
        # x and y run against columns and rows, see `write_nifti`
        assert np.array_equal(np.asarray(written.dataobj).T[:, ::-1, ::-1], one.anomaly_map)
    assert found[1].to_nifti().shape[2] == 4
    assert all(candidate.unit == "mm3" for candidate in found[0].candidates)


def test_a_dark_slice_is_the_same_as_file_and_array(ours, tmp_path):
    dark = grey(0) // 16
    write_image(tmp_path / "dark.png", dark)
    assert np.array_equal(ours(dark).anomaly_map, ours(tmp_path / "dark.png").anomaly_map)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((2, 2, 2, 2), np.uint8), r"shape \(2, 2, 2, 2\), wanted \[H, W\]"),
        (np.zeros((0, 32, 32), np.float32), r"shape \(0, 32, 32\)"),
        (np.zeros((32, 32), complex), "array of complex128"),
        (np.zeros((32, 32), bool), "array of bool"),
        (np.full((32, 32), np.nan, np.float32), "no numbers"),
        (np.random.default_rng(0).random((32, 32)), "its numbers are not HU"),
        ({"a": 1}, "got dict, wanted an array"),
        ([], "got list, wanted an array"),
        ([pydicom.Dataset()], "the list that was given cannot be written as a file"),
    ],
)
def test_what_cannot_be_used_is_refused(given, said, ours):
    with pytest.raises(DataError, match=said):
        ours(given)


def test_options_and_places_that_cannot_be_meant_are_refused(ours, tmp_path):
    for option in ({"values": "si"}, {"min_pixels": 0}, {"window": "bone marrow"}):
        with pytest.raises(ConfigError):
            ours(grey(0), **option)
    with pytest.raises(DataError, match="nothing"):
        ours(tmp_path / "nowhere")
    for name in ("a", "b"):
        write_image(tmp_path / f"in/{name}.png", grey(0))
    with pytest.raises(DataError, match="holds 2 slices and volumes; one is wanted"):
        ours(tmp_path / "in")
    image = nib.Nifti1Image(np.zeros((8, 8, 3), np.int16), np.eye(4))
    with pytest.raises(DataError):
        ours(image)
