"""Numbers that are not Hounsfield, pixels that mean nothing or are not square, and pictures that are no slices."""

import numpy as np
import pydicom
import pytest

from anomask.data.volumes.account import Account
from anomask.data.volumes.formats import find_volumes, group_volumes, read_volume
from anomask.data.volumes.square import resize_to, to_square_pixels
from anomask.data.volumes.walk import files_below
from anomask.errors import DataError
from tests.data.volumes.test_volumes import read_only, write_metaimage
from tests.preparation.made import chest, write_nifti, write_series

PADDING = 63536  # -2000 in 16 bits without a sign


def corners(size=32):
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    return rows**2 + columns**2 > (size / 2) ** 2


def padded(value, **header):
    """A chest whose corners, outside the field of view, hold a stored value."""
    hu, _ = chest()
    hu = np.where(corners(), value - 1024, hu.astype(int))
    return hu, {"PixelPaddingValue": value, **header}


@pytest.mark.parametrize("told", [PADDING, PADDING - 2**16], ids=["as stored", "with a sign"])
def test_padding_becomes_air_and_all_else_stays(tmp_path, told):
    hu, header = padded(PADDING)
    write_series(tmp_path, hu, **header | {"PixelPaddingValue": told % 2**16})
    found = read_only(tmp_path).hu
    assert (found[:, corners()] == -2000).all() and np.array_equal(found[:, ~corners()], hu[:, ~corners()])


def test_a_range_of_padding_becomes_air(tmp_path):
    hu, _ = chest()
    hu = hu.astype(int)
    hu[:, corners()] = 60000 - 1024
    hu[:, 0, 0], hu[:, 0, 31] = 63536 - 1024, 59999 - 1024
    write_series(tmp_path, hu, PixelPaddingValue=63536, PixelPaddingRangeLimit=60000)
    found = read_only(tmp_path).hu
    assert found[0, 0, 0] == found[0, 31, 31] == -2000 and found[0, 0, 31] == 59999 - 1024


def test_signed_padding_far_below_air_is_air(tmp_path):
    hu, _ = chest()
    hu = np.where(corners(), -2000, hu.astype(int))
    stored = hu.astype(np.int16)
    write_series(tmp_path, hu, PixelRepresentation=1, RescaleIntercept=0, PixelPaddingValue=-2000)
    for z, path in enumerate(sorted(tmp_path.iterdir())):
        data = pydicom.dcmread(path)
        data.PixelData = stored[z].tobytes()
        data.save_as(path)
    assert np.array_equal(read_only(tmp_path).hu, hu)


def test_padding_of_a_number_that_tissue_has_too_is_what_the_border_reaches(tmp_path):
    hu, _ = chest()
    hu[:, corners()] = 40
    hu[:, 16, 16] = 40  # between the lungs
    write_series(tmp_path, hu, PixelPaddingValue=40 + 1024)
    found = read_only(tmp_path).hu
    assert found[0, 0, 0] == -2000 and found[0, 16, 16] == 40


def test_padding_that_is_not_declared_is_refused(tmp_path):
    hu, header = padded(PADDING)
    write_series(tmp_path, hu)
    with pytest.raises(DataError, match="above 4000 HU .*padding is not declared"):
        read_only(tmp_path)


def shifted():
    return np.clip(chest()[0].astype(int) + 1024, 0, None)


def windowed():
    return np.clip((chest()[0] + 1350.0) / 1500 * 255, 0, 255)


FORMATS = {
    "dicom": write_series,
    "nifti": lambda place, values: write_nifti(place / "a.nii.gz", values),
    "metaimage": lambda place, values: (place.mkdir(exist_ok=True), write_metaimage(place / "a.mhd", values)),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_numbers_that_are_not_hounsfield_are_refused_in_every_format(tmp_path, kind):
    for name, values in (("shifted", shifted()), ("windowed", windowed()), ("inverted", 3000 - chest()[0])):
        FORMATS[kind](tmp_path / name, values)
        with pytest.raises(DataError, match="so its numbers are not HU"):
            read_only(tmp_path / name)


def test_greys_under_the_header_of_the_original_are_not_air(tmp_path):
    write_series(tmp_path, windowed() - 1024)  # 0...255 as stored, and the intercept of before
    with pytest.raises(DataError, match="no voxel above -300 HU .highest -7.*8-bit greys under the header"):
        read_only(tmp_path)


def test_padding_is_no_proof_of_air(tmp_path):
    hu = np.where(corners(), -2000, shifted())
    write_nifti(tmp_path / "a.nii.gz", hu)
    with pytest.raises(DataError, match="lowest -2000.*not HU"):
        read_only(tmp_path)


@pytest.mark.parametrize("kind", FORMATS)
def test_greys_are_taken_as_they_are_where_they_are_greys(tmp_path, kind):
    FORMATS[kind](tmp_path / "a", windowed().round())
    assert np.array_equal(read_only(tmp_path / "a", values="grey").hu, windowed().round())
    for name, values in (("hu", chest()[0]), ("share", windowed().round() // 255), ("bright", windowed() + 100)):
        FORMATS[kind](tmp_path / name, values)
        with pytest.raises(DataError, match="values=grey means 0 to 255"):
            read_only(tmp_path / name, values="grey")


def test_greys_that_are_shown_inverted_are_refused(tmp_path):
    write_series(tmp_path, windowed().round(), PhotometricInterpretation="MONOCHROME1")
    with pytest.raises(DataError, match="MONOCHROME1: it shows low values bright"):
        read_only(tmp_path, values="grey")


COMPUTED = {
    "MIP": {"ImageType": ["DERIVED", "SECONDARY", "MIP"]},
    "vendor": {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MIP"]},
    "second": {"ImageType": ["DERIVED", "MIP"]},
    "projection": {"ImageType": ["DERIVED", "PRIMARY", "PROJECTION IMAGE"]},
    "minimum": {"ImageType": ["DERIVED", "SECONDARY", "MIN_IP"]},
    "rendering": {"ImageType": ["DERIVED", "SECONDARY", "VOLUME_RENDER"], "SamplesPerPixel": 3},
    "description": {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"], "SeriesDescription": "Lung MIP 10/2"},
    "screen": {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
}


@pytest.mark.parametrize("name", COMPUTED)
def test_what_is_computed_from_slices_is_left_out_by_name(tmp_path, name):
    write_series(tmp_path, chest()[0], **COMPUTED[name])
    account = Account(tmp_path)
    assert group_volumes(files_below(tmp_path), account) == []
    assert all("a picture computed from slices" in entry.why for entry in account.entries.values())


@pytest.mark.parametrize(
    "header",
    [
        {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]},
        {"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"], "SeriesDescription": "THORAX + MIP 5 MIN"},
        {"ImageType": None},
    ],
)
def test_slices_that_were_compressed_or_anonymised_stay(tmp_path, header):
    hu, _ = chest()
    write_series(tmp_path, hu, **header)
    assert np.array_equal(read_only(tmp_path).hu, hu)


def test_a_projection_among_the_slices_is_left_out(tmp_path):
    hu, _ = chest(slices=3)
    uid = write_series(tmp_path, hu)
    write_series(tmp_path, hu[:1] + 500, uid=uid, names=["mip"], ImageType=["DERIVED", "SECONDARY", "MIP"])
    assert np.array_equal(read_only(tmp_path).hu, hu)


def test_pixels_twice_as_wide_become_square_and_come_back():
    wide = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
    square = to_square_pixels(wide, (0.7, 1.4))
    assert square.shape == (6, 16) and square.dtype == np.uint8
    assert np.array_equal(square[:, 0], wide[:, 0]) and abs(square.mean() - wide.mean()) < 0.5
    assert to_square_pixels(wide, (1.4, 0.7)).shape == (12, 8)
    assert to_square_pixels(wide, (0.7, 0.71)) is wide or np.array_equal(to_square_pixels(wide, (0.7, 0.71)), wide)
    mask = to_square_pixels(wide > 100, (0.7, 1.4))
    assert mask.dtype == bool and mask.mean() == pytest.approx((wide > 100).mean(), abs=0.05)
    back = resize_to(square.astype(np.float32), wide.shape)
    assert np.abs(back - wide).max() <= 3


def test_pixels_that_no_scanner_has_are_refused(tmp_path):
    write_series(tmp_path / "long", chest()[0], spacing=(0.1, 1.4))
    with pytest.raises(DataError, match=r"its pixels are 1\.4 by 0\.1 mm, which no CT has"):
        read_only(tmp_path / "long")


def test_all_formats_are_found_and_read_alike(tmp_path):
    hu, _ = chest()
    for kind, write in FORMATS.items():
        write(tmp_path / kind, hu)
    assert all(np.array_equal(read_volume(source).hu, hu) for source in find_volumes(tmp_path))
