"""One DICOM file: what its header says, read without trusting it."""

import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, CTImageStorage, DeflatedExplicitVRLittleEndian, EnhancedCTImageStorage

from anomask.data.volumes.dicom_computed import computed_picture
from anomask.errors import DataError

SUFFIXES = (".dcm", ".dicom", ".ima")
KINDS = ("SOPClassUID", "MediaStorageSOPClassUID")
CT_CLASSES = (CTImageStorage, EnhancedCTImageStorage, "1.2.840.10008.5.1.4.1.1.2.2")  # the last: converted legacy CT
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SCOUTS = {"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW"}
MAX_BYTES = 2**31  # of one file: 2,000 slices of 512 x 512
MAX_INFLATED = 2**28  # bytes of a deflated file: 500 slices; pydicom inflates the whole file to read one tag
INFLATED_AT_ONCE = 2**22
META_START = 128 + 4 + 12  # preamble, DICM, and the element that says how long the others of the file meta are
TAGS = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID", "PatientID", "Modality"]
TAGS += ["ImageType", "Rows", "Columns", "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient"]
TAGS += [
    "PixelSpacing",
    "SeriesNumber",
    "AcquisitionNumber",
    "InstanceNumber",
    "SOPClassUID",
    "SamplesPerPixel",
    "SeriesDescription",
]


class Header(NamedTuple):
    """What tells which volume a file belongs to; '' and None where the file does not say."""

    path: Path
    patient: str
    study: str
    series: str
    frame_of_reference: str
    instance: str  # SOPInstanceUID
    size: tuple[int, int]  # rows, columns
    frames: int
    series_number: str
    acquisition: str
    number: str  # of the image in its series
    position: tuple[float, ...] | None  # [3], LPS mm
    orientation: tuple[float, ...] | None  # [6]
    spacing: tuple[float, ...] | None  # [2], mm


class NoData(Exception):
    """A DICOM file that is in order and no slice of a CT; says what it is."""


def is_dicom(path: Path) -> bool:
    """Say whether a file is DICOM by its suffix or preamble (exports often have no suffix); may raise an OSError."""
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def open_dicom(path: Path, **how: object) -> Dataset:
    """Read a file with pydicom.

    Args:
        path: the file.
        how: further arguments of `pydicom.dcmread`.

    Raises:
        DataError: it is far larger than a CT.
        Exception: whatever pydicom raises.
    """
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path} has {path.stat().st_size} bytes; at most {MAX_BYTES} are read. It is no CT slice.")
    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        _check_inflated(path, META_START + meta.get("FileMetaInformationGroupLength", 0))
    return pydicom.dcmread(path, **how)


def _check_inflated(path: Path, start: int) -> None:
    """Raise a DataError if what is deflated from `start` on is far larger than a CT; it is inflated in pieces."""
    inflater, packed, size = zlib.decompressobj(-zlib.MAX_WBITS), path.read_bytes()[start:], 0
    while packed and not inflater.eof:
        size += len(inflater.decompress(packed, INFLATED_AT_ONCE))
        packed = inflater.unconsumed_tail
        if size > MAX_INFLATED:
            raise DataError(f"{path} inflates to more than {MAX_INFLATED} bytes. It is damaged or no CT slice.")


def read_header(path: Path) -> Header:
    """Read what groups a file.

    Raises:
        NoData: it has no image, or one of another kind: a report, a localiser, another modality, a screen save.
        DataError: see `open_dicom`.
        Exception: whatever pydicom raises for a damaged file.
    """
    data = open_dicom(path, stop_before_pixels=True, specific_tags=[*TAGS])
    if not any(name in data or name in data.file_meta for name in KINDS):
        raise InvalidDicomError("it does not say what it is")
    _check_kind(data)
    return Header(
        path,
        *(_text(data, name) for name in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID")),
        *(_text(data, name) for name in ("FrameOfReferenceUID", "SOPInstanceUID")),
        (int(data.Rows), int(data.get("Columns") or 0)),
        int(data.get("NumberOfFrames") or 1),
        *(_text(data, name) for name in ("SeriesNumber", "AcquisitionNumber", "InstanceNumber")),
        _numbers(data, "ImagePositionPatient", 3),
        _numbers(data, "ImageOrientationPatient", 6),
        _numbers(data, "PixelSpacing", 2),
    )


def _check_kind(data: Dataset) -> None:
    kind = UID(_text(data, "SOPClassUID") or str(data.file_meta.get("MediaStorageSOPClassUID", "")))
    modality, words = _text(data, "Modality").upper(), {word.strip().upper() for word in _words(data)}
    if "Rows" not in data:
        raise NoData(f"DICOM without an image: {kind.name}")
    computed = computed_picture(_words(data), _text(data, "SeriesDescription"))
    if computed:
        raise NoData(f"a picture computed from slices ({computed})")
    if not modality and kind in CT_CLASSES:
        modality = "CT"  # an anonymiser emptied the field, and the class still says it
    placed = all(data.get(name) for name in ("ImagePositionPatient", "ImageOrientationPatient"))
    placed = placed or ("NumberOfFrames" in data and kind in CT_CLASSES)
    if not placed and (kind.startswith(SECONDARY_CAPTURE) or {"DERIVED", "SECONDARY"} <= words):
        raise NoData("a screen save or dose report (secondary capture)")
    if modality != "CT":
        raise NoData(f"of modality {modality or 'unknown'}; CT is wanted")
    if words & SCOUTS:
        raise NoData("a localiser")


def _words(data: Dataset) -> list[str]:
    value = data.get("ImageType") or []
    return [value] if isinstance(value, str) else [str(word) for word in value]


def _text(data: Dataset, name: str) -> str:
    """Return a field as text without the blanks around it; '' where it is missing or damaged beyond reading."""
    try:
        value = data.get(name)
    except Exception:  # what it holds does not matter then: the reader of the pixels says what is wrong
        return ""
    return "" if value is None else str(value).strip().strip("\0")


def _numbers(data: Dataset, name: str, count: int) -> tuple[float, ...] | None:
    try:
        numbers = np.asarray(data.get(name), dtype=np.float64)
    except Exception:
        return None
    return tuple(numbers.tolist()) if numbers.shape == (count,) and np.isfinite(numbers).all() else None
