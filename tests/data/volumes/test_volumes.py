"""Volumes: orientation, order, HU and the way back, for DICOM, NIfTI and MetaImage; and what is refused."""

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import JPEGLosslessSV1, generate_uid

from anomask.data.volumes.formats import find_volumes, read_volume, to_source_geometry
from anomask.data.volumes.geometry import MAX_SIDE, to_axial
from anomask.errors import DataError, NotAxialError
from tests.preparation.made import ID, chest, dataset, write_multiframe, write_nifti, write_series

LOCALISER = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def read_only(place, **settings):
    (source,) = find_volumes(place)
    return read_volume(source, **settings)


def marked(shape=(3, 4, 5)):
    """Air with one voxel of 100 HU, and where it is."""
    hu = np.full(shape, -1000, np.int16)
    hu[2, 1, 3] = 100
    return hu, (2, 1, 3)


def test_a_series_keeps_hu_order_spacing_and_place(tmp_path):
    hu, place = marked()
    uid = write_series(tmp_path / "a", hu, spacing=(0.5, 0.8))
    volume = read_only(tmp_path)
    assert volume.hu.dtype == np.float32 and np.array_equal(volume.hu, hu)
    assert volume.spacing_mm == pytest.approx((2.5, 0.5, 0.8))
    assert (volume.patient, volume.series, volume.orientation) == (ID, uid, "LPS")
    # LPS (-11 + 3 * 0.8, -12 + 1 * 0.5, -100 + 2 * 2.5); RAS has the first two negated.
    assert volume.affine @ [*place, 1] == pytest.approx([8.6, 11.5, -95, 1])


def test_the_order_is_that_of_positions_and_not_of_names(tmp_path):
    hu, _ = chest(slices=5)
    write_series(tmp_path, hu, names=["z.dcm", "10.dcm", "IM", "a.ima", "2.dcm"])
    assert np.array_equal(read_only(tmp_path).hu, hu)


def test_each_slice_has_its_own_rescale(tmp_path):
    hu = np.array([-1000, 40, 1000], np.int16)[:, None, None] + np.zeros((3, 4, 4), np.int16)
    write_series(tmp_path, hu, slopes=[1.0, 2.0, 0.5])
    assert np.array_equal(read_only(tmp_path).hu, hu)


def test_monochrome1_is_a_matter_of_display_and_leaves_hu_alone(tmp_path):
    hu, _ = chest()
    write_series(tmp_path, hu, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read_only(tmp_path).hu, hu)


def test_flipped_columns_and_rows_are_turned_back(tmp_path):
    hu, place = marked()
    write_series(tmp_path, hu[:, ::-1, ::-1], ImageOrientationPatient=[-1, 0, 0, 0, -1, 0])
    volume = read_only(tmp_path)
    assert np.argwhere(volume.hu > 0).tolist() == [list(place)]


def test_a_multiframe_file_is_a_volume(tmp_path):
    hu, _ = chest(slices=4)
    write_multiframe(tmp_path / "enhanced.dcm", hu // 2 * 2, slopes=[1, 2, 1, 2])
    volume = read_only(tmp_path)
    assert np.array_equal(volume.hu, hu // 2 * 2) and volume.spacing_mm == pytest.approx((2.5, 0.7, 0.7))


def test_a_tilted_gantry_shears_the_affine_and_moves_no_pixel(tmp_path):
    hu, place = marked()
    tilt = np.radians(20)
    row = [0, np.cos(tilt), np.sin(tilt)]
    write_series(tmp_path, hu, ImageOrientationPatient=[1, 0, 0, *row])
    volume = read_only(tmp_path)
    assert np.array_equal(volume.hu, hu)
    assert volume.spacing_mm[0] == pytest.approx(2.5 * np.cos(tilt))  # along the normal; the table moved 2.5 mm
    position = [-11 + 3 * 0.7, -12 + 0.7 * row[1], -95 + 0.7 * row[2]]
    assert volume.affine @ [*place, 1] == pytest.approx([-position[0], -position[1], position[2], 1], abs=1e-5)


def test_pydicoms_own_slice_is_read_as_pydicom_reads_it():
    path = Path(get_testdata_file("CT_small.dcm"))
    data = pydicom.dcmread(path)
    volume = read_only(path)
    assert np.array_equal(volume.hu[0], data.pixel_array * float(data.RescaleSlope) + float(data.RescaleIntercept))
    assert volume.spacing_mm == pytest.approx((5.0, 0.661468, 0.661468))


@pytest.mark.parametrize(
    "affine",
    [
        np.diag([0.7, 0.7, 2.5, 1]),
        np.diag([-0.7, -0.7, 2.5, 1]),
        np.diag([-0.7, 0.7, -2.5, 1]),
        np.array([[0.1, 0.0, 2.0, 5], [-1.0, 0.1, 0.0, 6], [0.0, 3.0, 0.2, 7], [0, 0, 0, 1]]),  # oblique and turned
    ],
)
def test_a_voxel_of_any_nifti_ends_at_its_place_and_comes_back(tmp_path, affine):
    values = np.full((6, 7, 4), -1000, np.int16)
    values[5, 2, 1] = 100
    write_nifti(tmp_path / "a.nii.gz", values, affine)
    volume = read_only(tmp_path)
    (found,) = np.argwhere(volume.hu > 0)
    assert volume.affine @ [*found, 1] == pytest.approx(affine @ [5, 2, 1, 1])  # the same point of the patient
    directions = np.sign(np.diag(volume.affine[[2, 1, 0]]))
    assert directions.tolist() == [1, -1, -1]  # to the head, posterior, left
    back = to_source_geometry(volume, volume.hu)
    assert np.array_equal(back.get_fdata(), values) and np.allclose(back.affine, affine)


def test_a_map_comes_back_onto_a_dicom_series_as_column_row_slice(tmp_path):
    hu, _ = marked()
    write_series(tmp_path, hu)
    volume = read_only(tmp_path)
    image = to_source_geometry(volume, volume.hu)
    assert np.array_equal(image.get_fdata(), hu.transpose(2, 1, 0))
    with pytest.raises(DataError, match="Resize the map"):
        to_source_geometry(volume, volume.hu[1:])


def write_metaimage(path, volume, compressed=False, after=None, **fields):
    data = np.ascontiguousarray(volume, np.int16).tobytes()  # x runs fastest, then y, then z
    raw = path.with_suffix(".zraw" if compressed else ".raw")
    raw.write_bytes(zlib.compress(data) if compressed else data)
    shape = volume.shape[::-1]
    fields = {"NDims": 3, "CompressedData": compressed, "TransformMatrix": "1 0 0 0 1 0 0 0 1"} | fields
    fields |= {"Offset": "-11 -12 -100", "ElementSpacing": "0.8 0.5 2.5", "DimSize": "{} {} {}".format(*shape)}
    data_file = fields.pop("file", raw.name)
    fields |= {"ElementType": "MET_SHORT"} | (after or {}) | {"ElementDataFile": data_file}
    path.write_text("\n".join(f"{key} = {value}" for key, value in fields.items()))


@pytest.mark.parametrize("compressed", [False, True])
def test_metaimage(tmp_path, compressed):
    hu, place = marked()
    write_metaimage(tmp_path / "1.2.3.mhd", hu, compressed)
    volume = read_only(tmp_path)
    assert np.array_equal(volume.hu, hu) and volume.series == "1.2.3"
    assert volume.affine @ [*place, 1] == pytest.approx([8.6, 11.5, -95, 1])


def test_a_metaimage_that_is_cut_off_or_points_elsewhere_is_an_error(tmp_path):
    hu, _ = marked()
    write_metaimage(tmp_path / "a.mhd", hu)
    (tmp_path / "a.raw").write_bytes(b"\0" * 10)
    with pytest.raises(DataError, match="cut off: 10 of 120 bytes"):
        read_only(tmp_path)
    for more, message in (
        ({"DimSize": "5 4 2"}, "holds 120 bytes and its header says 80"),
        ({"ElementNumberOfChannels": 2}, "has 2 channels"),
        ({"HeaderSize": 20}, "a header of 20 bytes"),
    ):
        write_metaimage(tmp_path / "a.mhd", hu, after=more)
        with pytest.raises(DataError, match=message):
            read_only(tmp_path)
    write_metaimage(tmp_path / "a.mhd", hu, file="../../etc/passwd")
    with pytest.raises(DataError, match="of another folder"):
        read_only(tmp_path)


def test_a_file_of_a_metaimages_name_is_no_part_of_it(tmp_path, caplog):
    hu, _ = marked()
    write_metaimage(tmp_path / "a.mhd", hu)
    write_series(tmp_path, hu[:1], names=["a.dcm"])
    write_series(tmp_path, hu[:1], names=["a"])
    assert sorted(source.kind for source in find_volumes(tmp_path)) == ["dicom", "dicom", "metaimage"]


def test_two_series_in_one_folder_are_two_volumes_and_their_order_is_that_of_names(tmp_path):
    for name, level in (("b", 5), ("a", 7)):
        hu = np.full((2, 4, 4), level, np.int16)
        hu[0, 0] = -1000
        write_series(tmp_path, hu, names=[f"{name}0.dcm", f"{name}1.dcm"])
    assert [read_volume(source).hu.max() for source in find_volumes(tmp_path)] == [7, 5]


def series(folder, **changes):
    hu, _ = chest(slices=3, size=8)
    write_series(folder, hu, **changes)


def drop_one(folder):
    hu, _ = chest(slices=5, size=8)
    write_series(folder, hu)
    (folder / "002.dcm").unlink()


def twice(folder):
    uid = generate_uid()
    hu, _ = chest(slices=3, size=8)
    for name in "ab":
        write_series(folder, hu + (name == "b"), uid=uid, names=[f"{name}{z}.dcm" for z in range(3)])


def truncated(folder):
    series(folder)
    content = (folder / "001.dcm").read_bytes()
    (folder / "001.dcm").write_bytes(content[:-40])


def undecodable(folder):
    series(folder)
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xff\xd9\0"])
        data["PixelData"].is_undefined_length = True
        data.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        data.save_as(path)


FAULTS = {
    "missing slice": (drop_one, DataError, r"5\.00 mm apart, the other slices of .* 2\.50 mm: a slice is missing"),
    "two acquisitions": (twice, DataError, "lie at the same place"),
    "cut off": (truncated, DataError, r"pixels of .*001\.dcm cannot be decoded"),
    "damaged stream": (undecodable, DataError, r"JPEG Lossless.*It is cut off or damaged"),
    "no HU": (lambda folder: series(folder, RescaleSlope=None), DataError, "does not say how its values become HU"),
    "no position": (
        lambda folder: series(folder, ImagePositionPatient=None),
        DataError,
        "has ImagePositionPatient None",
    ),
    "coronal": (
        lambda folder: series(folder, ImageOrientationPatient=[1, 0, 0, 0, 0, -1], step=(0, 2.5, 0)),
        NotAxialError,
        "is not axial",
    ),
    "tilted": (lambda folder: series(folder, ImageOrientationPatient=[1, 0, 0, 0, 0.6, 0.8]), NotAxialError, "53 deg"),
    "colour": (
        lambda folder: series(folder, PhotometricInterpretation="RGB", SamplesPerPixel=3),
        DataError,
        "is a picture",
    ),
    "palette": (lambda folder: series(folder, PhotometricInterpretation="PALETTE COLOR"), DataError, "is a picture"),
    "narrow": (lambda folder: series(folder, Columns=7), DataError, "holds 128 bytes of pixels, and its header says 8"),
    "negative": (
        lambda folder: series(folder, PixelSpacing=[-0.7, 0.7]),
        DataError,
        r"PixelSpacing \[-0.7, 0.7\]; len",
    ),
    "huge": (lambda folder: series(folder, Rows=40000, Columns=40000), DataError, "claims 1x40000x40000 voxels"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_series_are_named(tmp_path, fault):
    make, kind, message = FAULTS[fault]
    make(tmp_path)
    with pytest.raises(kind, match=message):
        read_only(tmp_path)


def test_a_series_with_gaps_can_be_used_slice_by_slice(tmp_path):
    drop_one(tmp_path)
    volume = read_only(tmp_path, allow_gaps=True)
    assert len(volume.hu) == 4 and volume.spacing_mm[0] == pytest.approx(2.5)


def test_a_localiser_among_the_slices_and_a_copied_file_are_left_out(tmp_path):
    hu, _ = chest(slices=3)
    uid = write_series(tmp_path, hu)
    write_series(tmp_path, hu[:1], uid=uid, names=["scout"], ImageType=LOCALISER)
    (tmp_path / "copy.dcm").write_bytes((tmp_path / "001.dcm").read_bytes())
    assert np.array_equal(read_only(tmp_path).hu, hu)


def test_a_header_that_is_no_dicom_is_reported_and_the_rest_found(tmp_path):
    series(tmp_path)
    (tmp_path / "broken.dcm").write_bytes(b"not dicom at all")
    (tmp_path / "notes.txt").write_text("nothing")
    faults = []
    (source,) = find_volumes(tmp_path, faults.append)
    assert len(source.files) == 3
    assert [str(fault) for fault in faults] and "broken.dcm cannot be read as DICOM" in str(faults[0])


def test_reports_and_directories_without_pixels_are_no_volumes(tmp_path):
    dataset(tmp_path / "report.dcm", "1.2.3", Modality="SR").save_as(tmp_path / "report.dcm")
    assert find_volumes(tmp_path) == []


NIFTI_FAULTS = {
    "not HU": (lambda path: write_nifti(path, np.arange(64).reshape(4, 4, 4)), "its numbers are not HU"),
    "NaN": (lambda path: write_nifti(path, np.full((4, 4, 4), np.nan), dtype=np.float32), "no numbers"),
    "4-D": (lambda path: write_nifti(path, np.zeros((4, 4, 4, 2)), np.eye(4)), "a volume has three axes"),
    "no place": (
        lambda path: nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), None), path),
        "does not say how it lies",
    ),
    "text": (lambda path: path.write_text("hello"), "cannot be read as NIfTI"),
}


@pytest.mark.parametrize("fault", NIFTI_FAULTS)
def test_faults_of_a_nifti_file_are_named(tmp_path, fault):
    make, message = NIFTI_FAULTS[fault]
    make(tmp_path / "a.nii")
    with pytest.raises(DataError, match=message):
        read_only(tmp_path)


def test_an_affine_that_flattens_is_an_error():
    with pytest.raises(DataError, match="maps the volume onto a plane"):
        to_axial(np.zeros((4, 4, 4)), np.diag([1, 1, 0, 1.0]))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_nifti_file_that_is_cut_off_is_an_error(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_nifti(path, chest(slices=8)[0])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DataError, match="cut off or damaged"):
        read_only(tmp_path)


def test_a_nifti_header_that_claims_too_much_is_refused_before_reading(tmp_path):
    path = tmp_path / "a.nii"
    write_nifti(path, np.zeros((4, 4, 4)))
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([MAX_SIDE + 1] * 3, "<i2").tobytes()
    path.write_bytes(content)
    with pytest.raises(DataError, match="claims 4097x4097x4097 voxels"):
        read_only(tmp_path)
