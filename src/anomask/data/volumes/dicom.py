"""DICOM series and multi-frame files as volumes in Hounsfield units."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder

from anomask.data.volumes.dicom_file import open_dicom
from anomask.data.volumes.dicom_pixels import to_hounsfield
from anomask.data.volumes.dicom_stack import Frame, stack
from anomask.data.volumes.faults import reading, short
from anomask.data.volumes.geometry import Volume, VolumeSource, check_size, spacing_of, to_axial
from anomask.errors import DataError, NotAxialError


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
        NotAxialError: slices that are not axial.
    """
    frames: list[Frame] = []
    for path in source.files:
        with reading(path, "DICOM"):
            data = open_dicom(path)
            _check_grey(data, path, values)
            frames += _frames_of(data, path)
    array, affine, left_out = stack(frames, source, allow_gaps)
    hu, affine, stored = to_axial(array, affine)
    if stored[2] not in "SI":
        raise NotAxialError(f"series {source.series} in {source.path} is not axial. Export the axial reconstruction.")
    spacing = spacing_of(affine)
    return Volume(hu, affine, spacing, source.patient, source.series, source.path, "LPS", tuple(left_out))


def _check_grey(data: Dataset, path: Path, values: str) -> None:
    photometric = data.get("PhotometricInterpretation", "")
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
    stored = _pixels(data, path).reshape(n_frames, data.Rows, data.Columns)
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
                _spacing(groups, name),
                float(_lookup(groups, "SliceThickness") or 0),
                name,
            )
        )
    return frames


def _pixels(data: Dataset, path: Path) -> np.ndarray:
    syntax = data.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not get_decoder(syntax).is_available:
        raise DataError(
            f"{path} is compressed as {syntax.name}, and there is no decoder for it here. Install it (pip install "
            "python-gdcm), or export the series uncompressed."
        )
    if not syntax.is_compressed:
        _check_length(data, path)
    try:
        return data.pixel_array
    except Exception as error:  # a decoder may raise anything for a damaged stream
        raise DataError(
            f"the pixels of {path} cannot be decoded ({syntax.name}: {short(error)}). It is cut off or damaged: copy "
            "it again."
        ) from error


def _check_length(data: Dataset, path: Path) -> None:
    """Raise a DataError where rows more are stored than the header says: pydicom would read them shifted."""
    row = int(data.Columns) * (int(data.BitsAllocated) // 8)
    expected = row * int(data.Rows) * int(data.get("NumberOfFrames") or 1)
    stored = len(data.get("PixelData", b""))
    if row and stored - expected >= row:
        raise DataError(
            f"{path} holds {stored} bytes of pixels, and its header says {data.Rows} x {data.Columns}: {expected}. The "
            "header is damaged. Export it again."
        )


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


def _spacing(groups: list[Dataset], where: str) -> tuple[float, float]:
    spacing = _numbers(groups, "PixelSpacing", 2, where)
    if spacing.min() <= 0:
        raise DataError(f"{where} has PixelSpacing {spacing.tolist()}; lengths above 0 are wanted. Export it again.")
    return tuple(spacing)


def _rescale(groups: list[Dataset], where: str) -> tuple[float, float]:
    slope, intercept = _lookup(groups, "RescaleSlope"), _lookup(groups, "RescaleIntercept")
    kind = _lookup(groups, "RescaleType") or "HU"
    if slope is None or intercept is None or kind not in ("HU", "US") or float(slope) == 0:
        raise DataError(
            f"{where} does not say how its values become HU (slope {slope}, intercept {intercept}, type {kind}). "
            "Export the original series."
        )
    return float(slope), float(intercept)
