"""DICOM headers, tables and manifests changed at random: our own errors or the right slices, no file left out."""

import shutil
import time

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomask.data.folder.manifest import read_folder
from anomask.data.volumes.account import Account
from anomask.data.volumes.formats import group_volumes, read_volume
from anomask.data.volumes.walk import files_below
from anomask.errors import AnomaskError, DataError
from anomask.preparation.groups import Group
from anomask.preparation.tables import read_table
from tests.preparation.made import chest, grey, write_image, write_series
from tests.promises.fuzzing import thorough

LONGEST_S = 20.0  # a case that takes longer hangs; most take milliseconds
pytestmark = pytest.mark.slow

cases = thorough(3000)

# ------------------------------------------------------------------------------------------------------ DICOM headers

IDS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID", "SeriesNumber")
IDS += ("AcquisitionNumber", "InstanceNumber", "Modality", "ImageType", "SOPClassUID")
GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")
STORED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "SamplesPerPixel", "NumberOfFrames")
STORED += ("PhotometricInterpretation", "RescaleSlope", "RescaleIntercept", "RescaleType", "PixelPaddingValue")
HU = [chest(slices=5, size=12, seed=seed)[0] for seed in (0, 1)]
CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.88.67", "1.2")

numbers = st.one_of(st.integers(-3, 3), st.integers(-(2**15), 2**15 - 1), st.floats(-1e3, 1e3, width=32))
words = st.sampled_from(
    ("", " ", "1", "2", "CT", "ct ", "MR", "LOCALIZER", "1,5", "1Z", "nan", "1e999", "\0", *CLASSES)
)
contents = st.one_of(numbers, words, st.lists(numbers, max_size=7), st.lists(words, max_size=3), st.none())
fields = st.lists(
    st.tuples(st.sampled_from(IDS + GEOMETRY + STORED), st.sets(st.integers(0, 4), min_size=1), contents), max_size=4
)
raw = st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1), st.binary(min_size=1, max_size=6)), max_size=2)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Two series of five slices, the first to be changed, the second never."""
    folder = tmp_path_factory.mktemp("originals")
    for name, hu in zip(("bad", "good"), HU, strict=True):
        write_series(folder / name, hu, StudyInstanceUID=f"1.9.{len(name)}", PatientID=name)
    return folder


def change(folder, how, bytes_):
    for row, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        for name, rows, value in how:
            if row in rows:
                put(data, name, value)
        try:
            data.save_as(path)
        except Exception:  # pydicom does not write it: the file stays as it was
            continue
    for row, share, value in bytes_:
        path = folder / f"{row:03d}.dcm"
        content = bytearray(path.read_bytes())
        place = int(share * len(content))
        content[place : place + len(value)] = value
        path.write_bytes(bytes(content))


def put(data, name, value):
    try:
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    except Exception:  # pydicom refuses the value
        return


def read_all(place):
    """Return the volumes of a folder and the account; anything but our own error gets out."""
    account = Account(place, lambda fault: None)
    files = files_below(place)
    volumes = []
    for source in group_volumes(files, account):
        try:
            volume = read_volume(source)
        except DataError as fault:
            assert "\n" not in str(fault)
            account.fault(fault, source.files)
            continue
        account.use(source.files, "slices")
        account.leave_slices(volume.left_out)
        volumes.append((source, volume))
    assert account.entries.keys() == set(files)  # every file is accounted for
    return volumes, account


@cases
@given(fields, raw)
def test_a_dicom_header_is_read_or_refused_and_costs_no_other_series(originals, tmp_path_factory, how, bytes_):
    place = tmp_path_factory.getbasetemp() / "fuzzed_dicom"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(originals, place)
    change(place / "bad", how, bytes_)
    start = time.monotonic()
    volumes, _ = read_all(place)
    (good,) = (volume for source, volume in volumes if source.path == place / "good")
    assert np.array_equal(good.hu, HU[1])
    changed = {name for name, _, _ in how}
    if not bytes_ and not changed & {*STORED, *GEOMETRY}:  # ids alone: each slice is read once, as it was, or refused
        slices = [hu for source, volume in volumes if source.path != place / "good" for hu in volume.hu]
        assert all(any(np.array_equal(hu, one) for one in HU[0]) for hu in slices) and len(slices) <= 5
    assert time.monotonic() - start < LONGEST_S


# -------------------------------------------------------------------------------------------------- tables, manifests


cells = st.one_of(
    st.sampled_from(
        ("", "path", "split", "disease", "patient", "train", "test", "flu", "a.nii.gz", "..", "/", "\ufeff")
    ),
    st.text(max_size=6),
)
rows = st.lists(st.lists(cells, max_size=5), max_size=6)
endings = st.sampled_from(("\n", "\r\n", "\r"))


def table_text(rows, separator, end):
    return end.join(separator.join(row) for row in rows)


@cases
@given(rows, st.sampled_from((",", ";", "\t")), endings, st.sampled_from(("utf-8", "utf-16", "latin-1")), st.booleans())
def test_a_table_is_read_or_refused(tmp_path_factory, rows, separator, end, encoding, headed):
    file = tmp_path_factory.getbasetemp() / "fuzzed.csv"
    text = table_text([["path", "split", "disease"], *rows] if headed else rows, separator, end)
    file.write_bytes(text.encode(encoding, "replace"))
    try:
        table = read_table(Group(), file)
    except AnomaskError as fault:
        assert "\n" not in str(fault).replace(repr("\n"), "")
        return
    assert all(row["path"] for row in table.values())


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slices")
    for name in ("train/normal/a.png", "train/normal/b.png", "test/normal/c.png", "test/abnormal/flu/d.png"):
        write_image(folder / name, grey(len(name)))
    write_image(folder / "test/masks/flu/d.png", np.eye(32, dtype=np.uint8) * 255)
    return folder


NAMES = ("train/normal/a.png", "train/normal/b.png", "test/normal/c.png", "test/abnormal/flu/d.png")
COLUMNS = ("path", "patient", "source", "disease", "mask", "lung_mask", "lesion_donor", "split", "label")
manifest_rows = st.lists(
    st.tuples(st.sampled_from((*NAMES, "../x.png", "")), st.lists(cells, min_size=3, max_size=3)), max_size=6
)


@cases
@given(
    st.lists(st.sampled_from(COLUMNS), min_size=3, max_size=3),
    manifest_rows,
    st.booleans(),
    endings,
    st.binary(max_size=4),
)
def test_a_manifest_is_read_or_refused(slices, columns, rows, whole, end, junk):
    lines = [("path", *columns), *((name, *values) for name, values in rows)]
    if whole:  # every slice is listed
        lines += [(name, "", "", "") for name in NAMES if name not in {row[0] for row in rows}]
    (slices / "manifest.csv").write_bytes(table_text(lines, ",", end).encode("utf-8", "replace") + junk)
    try:
        records = read_folder(slices)
    except AnomaskError:
        return
    assert sorted(record.name for record in records) == sorted(NAMES)
