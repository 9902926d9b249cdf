"""Maps that other programs open: NIfTI with the source's own geometry, read by nibabel and by SimpleITK."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from anomask.data.volumes.formats import to_source_geometry
from anomask.errors import DataError
from tests.data.volumes.test_volumes import read_only
from tests.preparation.made import chest, write_nifti, write_series

TILT = np.radians(15)
STRAIGHT = np.diag([0.7, 0.7, 2.5, 1.0])
SHEARED = STRAIGHT.copy()
SHEARED[1, 2] = 2.5 * np.tan(TILT)


def map_of(place, file):
    """Read the one volume of `place`, write its first slices' numbers as a map, and open the map."""
    volume = read_only(place)
    nib.save(to_source_geometry(volume, np.arange(volume.hu.size, dtype=np.float32).reshape(volume.hu.shape)), file)
    return volume, nib.load(file)


def source(path, affine, sform, qform, unit="mm"):
    hu, _ = chest()
    image = nib.Nifti1Image(hu.transpose(2, 1, 0)[::-1, ::-1].copy(), affine)
    image.header.set_sform(affine, sform)
    image.header.set_qform(affine, qform)
    image.header.set_xyzt_units(unit)
    image.header["descrip"] = b"Doe^Jane 19510203"
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(image.dataobj, image.header.get_best_affine(), image.header), path)
    return nib.load(path)


@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (1, 0), (0, 1), (4, 2)])
def test_a_map_has_both_codes_and_matrices_of_its_source(tmp_path, codes):
    given = source(tmp_path / "in/a.nii.gz", STRAIGHT, *codes)
    _, image = map_of(tmp_path / "in", tmp_path / "map.nii.gz")
    header = image.header
    assert (int(header["sform_code"]), int(header["qform_code"])) == codes
    np.testing.assert_allclose(header.get_qform(), given.header.get_qform(), atol=1e-5)
    np.testing.assert_allclose(image.affine, given.affine, atol=1e-6)
    assert header["descrip"] == b"" and image.shape == given.shape
    before, after = (SimpleITK.ReadImage(str(file)) for file in (tmp_path / "in/a.nii.gz", tmp_path / "map.nii.gz"))
    for name in ("GetOrigin", "GetSpacing", "GetDirection", "GetSize"):
        np.testing.assert_allclose(getattr(after, name)(), getattr(before, name)(), atol=1e-5)


def test_the_map_of_a_tilted_series_opens_in_itk_where_the_series_lies(tmp_path):
    write_series(tmp_path / "in", chest()[0], ImageOrientationPatient=[1, 0, 0, 0, np.cos(TILT), -np.sin(TILT)])
    volume, image = map_of(tmp_path / "in", tmp_path / "map.nii.gz")
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
    opened = SimpleITK.ReadImage(str(tmp_path / "map.nii.gz"))
    files = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "in"))
    series = SimpleITK.ReadImage(files)
    for name in ("GetOrigin", "GetDirection", "GetSize"):
        np.testing.assert_allclose(getattr(opened, name)(), getattr(series, name)(), atol=1e-4)
    assert opened.GetSpacing()[:2] == pytest.approx(series.GetSpacing()[:2])
    # The sform is exact: the first voxel of the last slice lies where its header says.
    last = image.affine @ [0, 0, 3, 1]
    np.testing.assert_allclose(last[:3], [11, 12, -100 + 3 * 2.5], atol=1e-4)
    axes = image.header.get_qform()[:3, :3] / image.header.get_zooms()[:3]
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-5)
    assert np.array_equal(SimpleITK.GetArrayFromImage(opened), image.get_fdata().transpose(2, 1, 0))
    assert volume.spacing_mm[0] == pytest.approx(2.5 * np.cos(TILT), abs=1e-4)


@pytest.mark.parametrize("codes", [(1, 0), (2, 0), (1, 1)])
def test_the_map_of_a_sheared_nifti_opens_in_itk(tmp_path, codes):
    given = source(tmp_path / "in/a.nii.gz", SHEARED, *codes)
    _, image = map_of(tmp_path / "in", tmp_path / "map.nii.gz")
    np.testing.assert_allclose(image.affine, given.affine, atol=1e-6)
    assert int(image.header["sform_code"]) == codes[0] and int(image.header["qform_code"]) >= 1
    opened = SimpleITK.ReadImage(str(tmp_path / "map.nii.gz"))
    axes = np.reshape(opened.GetDirection(), (3, 3))
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-4)


def test_a_quaternion_that_is_no_rotation_is_not_handed_on(tmp_path):
    given = source(tmp_path / "in/a.nii", STRAIGHT, 1, 1)
    content = bytearray((tmp_path / "in/a.nii").read_bytes())
    content[256:260] = np.float32(2).tobytes()  # quatern_b: the fuzzer's
    (tmp_path / "in/a.nii").write_bytes(content)
    _, image = map_of(tmp_path / "in", tmp_path / "map.nii.gz")
    np.testing.assert_allclose(image.header.get_qform(), given.affine, atol=1e-5)
    assert int(image.header["qform_code"]) == 1


def test_a_nifti_in_metres_is_read_in_mm_and_its_map_lies_on_it(tmp_path):
    metres = np.diag([0.0007, 0.0007, 0.0025, 1.0])
    source(tmp_path / "in/a.nii.gz", metres, 1, 1, "meter")
    volume, image = map_of(tmp_path / "in", tmp_path / "map.nii.gz")
    assert volume.spacing_mm == pytest.approx((2.5, 0.7, 0.7), rel=1e-4)
    np.testing.assert_allclose(image.affine, metres, atol=1e-9)
    assert image.header.get_xyzt_units()[0] == "meter"
    opened = SimpleITK.ReadImage(str(tmp_path / "map.nii.gz"))
    assert opened.GetSpacing() == pytest.approx((0.7, 0.7, 2.5), rel=1e-4)


def test_metres_that_are_not_declared_are_named(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", chest()[0].transpose(2, 1, 0), np.diag([0.0007, 0.0007, 0.0025, 1.0]))
    with pytest.raises(DataError, match=r"voxels are 0\.0007 x 0\.0007 x 0\.0025 mm, which no CT has"):
        read_only(tmp_path)
