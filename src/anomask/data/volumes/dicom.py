"""DICOM series and multi-frame files as volumes in Hounsfield units."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from anomask.data.volumes.dicom_pixels import to_hounsfield, why_no_slice
from anomask.data.volumes.dicom_stack import Frame, stack
from anomask.data.volumes.geometry import Volume, VolumeSource, check_size, spacing_of, to_axial
from anomask.data.volumes.walk import OnFault, log_fault
from anomask.errors import DataError, NotAxialError

log = logging.getLogger(__name__)

SUFFIXES = (".dcm", ".dicom", ".ima")
# What pydicom and its decoders raise for damaged, odd or undecodable files.
DAMAGED = (AttributeError, EOFError, IndexError, KeyError, NotImplementedError, OSError, RuntimeError, TypeError)
DAMAGED += (ValueError, InvalidDicomError)
KINDS = ("SOPClassUID", "MediaStorageSOPClassUID")
HEADER = ("SeriesInstanceUID", "SOPClassUID", "Rows")


def is_dicom(path: Path) -> bool:
    """Say whether a file is DICOM by its suffix or preamble (exports often have no suffix); may raise an OSError."""
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def find_series(files: Iterable[Path], on_fault: OnFault = log_fault) -> list[VolumeSource]:
    """Group DICOM files by SeriesInstanceUID; objects without pixels, such as a DICOMDIR or reports, are left out.

    Args:
        files: DICOM files.
        on_fault: called with a DataError for each file whose header cannot be read.
    """
    series: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*HEADER])
            if not any(name in header or name in header.file_meta for name in KINDS):
                raise InvalidDicomError("it does not say what it is")
        except DAMAGED as error:
            on_fault(DataError(f"{path} cannot be read as DICOM ({_short(error)}). Copy or export it again."))
            continue
        if "Rows" in header:
            series[str(header.get("SeriesInstanceUID", "")) or str(path)].append(path)
    return [VolumeSource(min(paths).parent, "dicom", tuple(sorted(paths)), uid) for uid, paths in series.items()]


def read_dicom(source: VolumeSource, allow_gaps: bool = False, values: str = "hu") -> Volume:
    """Read a series or a multi-frame file; see `Volume`.

    A tilted gantry shears the stack: every slice stays as it was acquired, and the affine carries the shear.

    Args:
        source: of `find_series`.
        allow_gaps: whether slices may lie unevenly; the affine then holds for the median distance alone.
        values: 'hu' or 'grey', see `read_volume`.

    Raises:
        DataError: a file is damaged, cannot be decoded, is no grey image or says nothing of HU or position; slices
            are missing, doubled or of several sizes.
        NotAxialError: another modality, a localiser, or slices that are not axial.
    """
    frames: list[Frame] = []
    seen: dict[str, Path] = {}
    reasons: set[str] = set()
    patient = ""
    for path in source.files:
        data = _open(path)
        reason = why_no_slice(data)
        if reason:
            reasons.add(reason)
            continue
        _check_kind(data, path, values)
        first = seen.setdefault(str(data.get("SOPInstanceUID", path)), path)
        if first is not path:
            log.warning("%s is the same image as %s; it is left out", path, first)
            continue
        patient = patient or str(data.get("PatientID", ""))
        frames += _frames_of(data, path)
    if not frames:
        raise NotAxialError(f"series {source.series} in {source.path} holds {' and '.join(sorted(reasons))} alone.")
    hu, affine = stack(frames, source, allow_gaps)
    hu, affine, stored = to_axial(hu, affine)
    if stored[2] not in "SI":
        raise NotAxialError(f"series {source.series} in {source.path} is not axial. Export the axial reconstruction.")
    return Volume(hu, affine, spacing_of(affine), patient, source.series, source.path, "LPS")


def _open(path: Path) -> Dataset:
    try:
        return pydicom.dcmread(path)
    except DAMAGED as error:
        raise DataError(f"{path} cannot be read as DICOM ({_short(error)}). Copy or export it again.") from error


def _check_kind(data: Dataset, path: Path, values: str) -> None:
    modality, photometric = data.get("Modality", ""), data.get("PhotometricInterpretation", "")
    if modality != "CT":
        raise NotAxialError(f"{path} is of modality {modality or 'unknown'}; CT is wanted.")
    # MONOCHROME1 asks a viewer to show low values bright; the rescaled values are HU all the same.
    if data.get("SamplesPerPixel", 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise DataError(
            f"{path} is a picture ({photometric or 'no photometric interpretation'}, {data.get('SamplesPerPixel')} "
            "samples a pixel), not a CT slice in HU. Export the original series."
        )
    if values == "grey" and photometric == "MONOCHROME1":
        raise DataError(f"{path} is MONOCHROME1: it shows low values bright. Export it as MONOCHROME2.")


def _frames_of(data: Dataset, path: Path) -> list[Frame]:
    n_frames = int(data.get("NumberOfFrames") or 1)
    check_size(path, (n_frames, int(data.Rows), int(data.get("Columns", 0))))
    try:
        stored = data.pixel_array.reshape(n_frames, data.Rows, data.Columns)
    except DAMAGED as error:
        syntax = data.file_meta.get("TransferSyntaxUID", "") if hasattr(data, "file_meta") else ""
        name = getattr(syntax, "name", syntax)
        raise DataError(
            f"the pixels of {path} cannot be decoded ({name}: {_short(error)}). Copy it again if it is cut off; if its "
            "compression has no decoder here, install one (pip install 'pylibjpeg[all]') or decompress the series."
        ) from error
    frames = []
    for index, values in enumerate(stored):
        groups = _groups(data, index)
        name = f"{path}" if n_frames == 1 else f"{path} frame {index + 1}"
        slope, intercept = _rescale(groups, name)
        frames.append(
            Frame(
                to_hounsfield(values, slope, intercept, data),
                _numbers(groups, "ImagePositionPatient", 3, name),
                _numbers(groups, "ImageOrientationPatient", 6, name),
                tuple(_numbers(groups, "PixelSpacing", 2, name)),
                float(_lookup(groups, "SliceThickness") or 0),
                name,
            )
        )
    return frames


def _groups(data: Dataset, index: int) -> list[Dataset]:
    """Return where a frame's attributes may stand: its own functional groups, the shared ones, the file."""
    groups: list[Dataset] = []
    for holder in (data.get("PerFrameFunctionalGroupsSequence"), data.get("SharedFunctionalGroupsSequence")):
        if holder:
            macros = holder[min(index, len(holder) - 1)]
            groups += [element.value[0] for element in macros if element.VR == "SQ" and element.value]
    return [*groups, data]


def _lookup(groups: list[Dataset], name: str):
    return next((group[name].value for group in groups if name in group and group[name].value is not None), None)


def _numbers(groups: list[Dataset], name: str, count: int, where: str) -> np.ndarray:
    value = _lookup(groups, name)
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise DataError(f"{where} has {name} {value}; {count} numbers are wanted. Export the original series.")
    return numbers


def _rescale(groups: list[Dataset], where: str) -> tuple[float, float]:
    slope, intercept = _lookup(groups, "RescaleSlope"), _lookup(groups, "RescaleIntercept")
    kind = _lookup(groups, "RescaleType") or "HU"
    if slope is None or intercept is None or kind not in ("HU", "US") or float(slope) == 0:
        raise DataError(
            f"{where} does not say how its values become HU (slope {slope}, intercept {intercept}, type {kind}). "
            "Export the original series."
        )
    return float(slope), float(intercept)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120]
