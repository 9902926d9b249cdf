"""Which DICOM files are one volume, whatever an anonymiser or an export did to their identifiers."""

import pydicom
import pytest

from anomask.data.volumes import dicom, dicom_file
from anomask.data.volumes.account import Account
from anomask.data.volumes.formats import find_volumes, group_volumes, read_volume
from anomask.data.volumes.walk import files_below
from anomask.errors import DataError
from tests.preparation.made import chest, dataset, write_multiframe, write_series

UID = "1.2.3.4"
SAGITTAL = [0, 1, 0, 0, 0, -1]


def hu(slices=5, seed=0, size=16):
    return chest(slices, size, seed)[0]


def change(folder, **of):
    """Rewrite each file of a folder: `of` maps a field to a value, or to a function of the file's row."""
    for row, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        for name, value in of.items():
            setattr(data, name, value(row) if callable(value) else value)
        data.save_as(path)


def depths(place):
    """How many slices each volume of a folder has."""
    return [len(read_volume(source).hu) for source in find_volumes(place)]


def looked_at(place):
    faults = []
    account = Account(place, faults.append)
    sources = group_volumes(files_below(place), account)
    left = {account.inside(path): entry.why for path, entry in account.entries.items()}
    return sources, left, [str(fault) for fault in faults]


# --------------------------------------------------------------------------------------------- one id, several volumes


@pytest.mark.parametrize("shift", [5 * 2.5, 1.25], ids=["one behind the other", "interleaved"])
@pytest.mark.parametrize("tell", ["PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "AcquisitionNumber", ""])
def test_two_patients_under_one_series_are_two_volumes(tmp_path, shift, tell):
    for row, name in enumerate("ab"):
        write_series(tmp_path / name, hu(seed=row), uid=UID, PatientID="ANONYMOUS", StudyInstanceUID="1.9")
        positions = [[-11.0, -12.0, -100 + 2.5 * z + row * shift] for z in range(5)]
        number = {"InstanceNumber": lambda z: z + 1}  # the folders tell, where nothing else does
        told = {tell: f"{row + 1}"} if tell else {}
        change(tmp_path / name, ImagePositionPatient=positions.__getitem__, **number, **told)
    assert depths(tmp_path) == [5, 5]
    assert len({source.identity for source in find_volumes(tmp_path)}) == 2 or not tell


def test_two_reconstructions_under_one_series_are_two_volumes(tmp_path):
    write_series(tmp_path, hu(4, size=16), uid=UID, names=["a", "b", "c", "d"], StudyInstanceUID="1.9")
    write_series(tmp_path, hu(3, size=20), uid=UID, names=["e", "f", "g"], StudyInstanceUID="1.9")
    assert depths(tmp_path) == [4, 3]


def test_two_acquisitions_that_nothing_tells_apart_are_a_fault(tmp_path):
    for row, name in enumerate("ab"):
        write_series(tmp_path, hu(seed=row), uid=UID, names=[f"{name}{z}" for z in range(5)])
    with pytest.raises(DataError, match="lie at the same place: the series holds two acquisitions"):
        depths(tmp_path)


def test_slices_that_jump_sideways_are_two_acquisitions(tmp_path):
    write_series(tmp_path, hu(6), uid=UID)
    change(tmp_path, ImagePositionPatient=lambda z: [-11.0 + 4 * (z % 2), -12.0, -100 + 2.5 * z])
    with pytest.raises(DataError, match="mm beside the row of the other slices"):
        depths(tmp_path)


# --------------------------------------------------------------------------------------------- several ids, one volume


ODD_IDS = {
    "one SOPInstanceUID": {"SOPInstanceUID": "1.2.3"},
    "no SOPInstanceUID": {"SOPInstanceUID": ""},
    "a series each": {"SeriesInstanceUID": lambda row: f"1.2.{row}"},
    "no series": {"SeriesInstanceUID": ""},
    "a series, study, number and frame of reference each": {
        name: lambda row: f"1.2.{row}" for name in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
    }
    | {"SeriesNumber": lambda row: row},
    "no patient": {"PatientID": ""},
}


@pytest.mark.parametrize("ids", ODD_IDS)
def test_a_volume_stays_one_whatever_became_of_its_ids(tmp_path, ids):
    write_series(tmp_path / "p", hu(), uid=UID, StudyInstanceUID="1.9")
    change(tmp_path / "p", **ODD_IDS[ids])
    (source,) = find_volumes(tmp_path)
    assert (read_volume(source).hu == hu()).all()


def test_a_series_and_a_folder_for_each_slice_is_one_volume_too(tmp_path):
    write_series(tmp_path, hu(), uid=UID, StudyInstanceUID="1.9")
    change(tmp_path, SeriesInstanceUID=lambda row: f"1.2.{row}")
    for path in sorted(tmp_path.iterdir()):
        path.rename(path.with_suffix(".part"))
        path.mkdir()
        path.with_suffix(".part").rename(path / "1.dcm")
    assert depths(tmp_path) == [5]


def test_a_slice_that_is_missing_among_slices_of_a_series_each_is_found_out(tmp_path):
    write_series(tmp_path, hu(7), StudyInstanceUID="1.9")
    change(tmp_path, SeriesInstanceUID=lambda row: f"1.2.{row}")
    (tmp_path / "003.dcm").unlink()
    with pytest.raises(DataError, match=r"5\.00 mm apart, the other slices of .* 2\.50 mm: a slice is missing"):
        depths(tmp_path)


def test_slices_of_a_series_each_that_lie_in_no_row_stay_alone_and_it_is_said(tmp_path, caplog):
    write_series(tmp_path, hu(4), StudyInstanceUID="1.9")
    places = [-100.0, -93.2, -91.1, -60.7]
    change(tmp_path, SeriesInstanceUID=lambda row: f"1.2.{row}", ImagePositionPatient=lambda z: [0, 0, places[z]])
    assert depths(tmp_path) == [1] * 4 and "4 slices in" in caplog.text and "do not lie in a row" in caplog.text


@pytest.mark.parametrize(
    "fields",
    [{"Modality": None}, {"Modality": ""}, {"Modality": "CT "}, {"Modality": "ct"}],
    ids=["missing", "empty", "blank behind", "small letters"],
)
def test_the_class_says_ct_where_the_modality_does_not(tmp_path, fields):
    write_series(tmp_path, hu(), **fields)
    assert depths(tmp_path) == [5]


# ------------------------------------------------------------------------------------------- what belongs to no volume


LEFT = {
    "a localiser": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    "a localiser ": {"ImageType": ["ORIGINAL", "PRIMARY", "SCOUT"], "ImageOrientationPatient": SAGITTAL},
    "does not belong to its series": {"ImageOrientationPatient": SAGITTAL},
    "a screen save": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "ImagePositionPatient": None},
    "a screen save ": {"ImageType": ["DERIVED", "SECONDARY"], "ImageOrientationPatient": None},
    "of modality MR; CT is wanted": {"Modality": "MR"},
}


@pytest.mark.parametrize("why", LEFT)
def test_an_image_that_does_not_belong_is_left_out_and_named(tmp_path, why):
    uid = write_series(tmp_path, hu(), StudyInstanceUID="1.9")
    write_series(tmp_path, hu(1, size=10), uid=uid, names=["odd"], StudyInstanceUID="1.9", **LEFT[why])
    (source,), left, faults = looked_at(tmp_path)
    assert len(read_volume(source).hu) == 5 and faults == []
    assert list(left) == ["odd"] and left["odd"].startswith(why.strip())


def test_an_object_without_an_image_is_left_out_by_its_name(tmp_path):
    dataset(tmp_path / "sr", UID, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.67", Modality="SR").save_as(tmp_path / "sr")
    sources, left, faults = looked_at(tmp_path)
    assert (sources, faults) == ([], []) and "X-Ray Radiation Dose SR" in left["sr"]


def test_a_coloured_dose_page_is_left_out(tmp_path):
    capture = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}
    write_series(tmp_path, hu(1), ImagePositionPatient=None, ImageOrientationPatient=None, **capture)
    sources, left, faults = looked_at(tmp_path)
    assert (sources, faults) == ([], []) and "screen save" in left["000.dcm"]


def test_an_odd_frame_of_a_multiframe_file_is_left_out_and_named(tmp_path):
    write_multiframe(tmp_path / "a.dcm", hu(6) // 2 * 2, slopes=[1] * 6)
    data = pydicom.dcmread(tmp_path / "a.dcm")
    plane = pydicom.Dataset()
    plane.ImageOrientationPatient = SAGITTAL
    data.PerFrameFunctionalGroupsSequence[0].PlaneOrientationSequence = [plane]
    data.save_as(tmp_path / "a.dcm")
    (source,) = find_volumes(tmp_path)
    volume = read_volume(source)
    assert (volume.hu == (hu(6) // 2 * 2)[:5]).all()
    assert volume.left_out[0].name.endswith("a.dcm frame 1") and volume.left_out[0].why.startswith("of another size")


@pytest.mark.parametrize("place", [[-11, -12, 300], [60, -12, -90]], ids=["far up", "far beside"])
def test_a_slice_far_from_the_rest_is_left_out_and_named(tmp_path, place):
    uid = write_series(tmp_path, hu(12), StudyInstanceUID="1.9")
    write_series(tmp_path, hu(1), uid=uid, names=["odd"], StudyInstanceUID="1.9", ImagePositionPatient=place)
    (source,) = find_volumes(tmp_path)
    volume = read_volume(source)
    assert (volume.hu == hu(12)).all() and volume.left_out == ((str(tmp_path / "odd"), "far from the other slices"),)


def test_a_copy_is_one_image_by_its_pixels_and_place_and_not_by_its_id(tmp_path):
    write_series(tmp_path, hu(), uid=UID, SOPInstanceUID="1.2.3")
    write_series(tmp_path, hu(), uid=UID, names=[f"copy{z}" for z in range(5)], SOPInstanceUID="1.2.4")
    (source,) = find_volumes(tmp_path)
    volume = read_volume(source)
    assert (volume.hu == hu()).all() and len(volume.left_out) == 5
    assert volume.left_out[0].why.startswith("the same image as")


# ------------------------------------------------------------------------------------------------- rounded positions


@pytest.mark.parametrize(("step", "digits"), [(1.25, 1), (0.625, 1), (0.7, 1), (0.33, 1), (2.5, 0)])
def test_rounded_positions_are_an_even_grid(tmp_path, step, digits):
    write_series(tmp_path, hu(20))
    change(tmp_path, ImagePositionPatient=lambda z: [-11, -12, round(-100.03 + step * z, digits)])
    if digits:
        assert depths(tmp_path) == [20]
        (source,) = find_volumes(tmp_path)
        assert read_volume(source).spacing_mm[0] == pytest.approx(step, abs=0.1 / 19)
    else:  # to whole millimetres: no grid within 10 % any more
        with pytest.raises(DataError, match="a slice is missing"):
            depths(tmp_path)


@pytest.mark.parametrize("missing", [1, 7, 13])
@pytest.mark.parametrize("step", [0.3, 1.25])
def test_a_missing_slice_is_found_wherever_it_is_and_however_thin(tmp_path, missing, step):
    write_series(tmp_path, hu(15))
    change(tmp_path, ImagePositionPatient=lambda z: [-11, -12, round(-100 + step * z, 1)])
    (tmp_path / f"{missing:03d}.dcm").unlink()
    with pytest.raises(DataError, match="a slice is missing"):
        depths(tmp_path)


# --------------------------------------------------------------------------------------------------------- odd headers


BROKEN = {
    "decimal comma": (b"-1024.0 ", b"-1024,0 "),
    "text": (b"\x18\x00\x50\x00DS\x04\x002.5 ", b"\x18\x00\x50\x00DS\x04\x002.5m"),
    "rows": (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00US\x03\x00"),
    "position": (b"\x20\x00\x32\x00DS", b"\x20\x00\x32\x00XX"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_bad_number_costs_its_series_alone_and_names_the_file(tmp_path, kind):
    write_series(tmp_path / "good", hu())
    write_series(tmp_path / "bad", hu(), InstanceNumber=1)
    for path in (tmp_path / "bad").iterdir():
        assert BROKEN[kind][0] in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(*BROKEN[kind]))
    sources, _, faults = looked_at(tmp_path)
    for source in sources:
        try:
            assert (read_volume(source).hu == hu()).all()
        except DataError as fault:
            faults.append(str(fault))
    assert faults and all("bad/" in fault and "\n" not in fault for fault in faults)
    assert len([source for source in sources if source.path == tmp_path / "good"]) == 1


# ---------------------------------------------------------------------------------------------------- too much, packed


def test_a_deflated_file_is_not_inflated_without_end(tmp_path, monkeypatch):
    write_series(tmp_path, hu(3))
    for path in tmp_path.iterdir():
        data = pydicom.dcmread(path)
        data.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
        data.save_as(path, enforce_file_format=True)
    assert depths(tmp_path) == [3]
    monkeypatch.setattr(dicom_file, "MAX_INFLATED", 600)  # bytes; a slice here has a thousand
    sources, _, faults = looked_at(tmp_path)
    assert sources == [] and len(faults) == 3 and "inflates to more than 600 bytes" in faults[0]


def test_a_file_far_larger_than_a_slice_is_refused_unread(tmp_path, monkeypatch):
    write_series(tmp_path, hu(1))
    monkeypatch.setattr(dicom_file, "MAX_BYTES", 100)
    assert "at most 100 are read" in looked_at(tmp_path)[2][0]


# ------------------------------------------------------------------------------------------------------------ decoders


def test_a_missing_decoder_is_called_so(tmp_path, monkeypatch, caplog):
    write_series(tmp_path, hu(1))
    (path,) = tmp_path.iterdir()
    data = pydicom.dcmread(path)
    data.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xff\xd9\0"])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
    data.save_as(path)
    (source,) = find_volumes(tmp_path)
    with pytest.raises(DataError, match=r"cannot be decoded \(JPEG Lossless.*cut off or damaged"):
        read_volume(source)
    assert caplog.text == ""  # pydicom's own traceback of each decoder is not shown

    class Nothing:
        is_available = False

    monkeypatch.setattr(dicom, "get_decoder", lambda syntax: Nothing)
    with pytest.raises(DataError, match=r"JPEG Lossless.*there is no decoder for it here.*pip install python-gdcm"):
        read_volume(source)


@pytest.mark.parametrize(
    "syntax", ["JPEGLosslessProcess14_1", "JPEGLosslessProcess14", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"]
)
def test_what_archives_store_is_decoded_without_loss(tmp_path, syntax):
    gdcm = pytest.importorskip("gdcm")
    write_series(tmp_path, hu(2))
    for path in tmp_path.iterdir():
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    (source,) = find_volumes(tmp_path)
    assert pydicom.dcmread(source.files[0]).file_meta.TransferSyntaxUID.is_compressed
    assert (read_volume(source).hu == hu(2)).all()
