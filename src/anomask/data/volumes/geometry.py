"""A CT volume in one fixed orientation, and the way back to the orientation of the file it came from."""

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt2axcodes, ornt_transform

from anomask.errors import DataError, NotAxialError

# Directions in which the axes of `Volume.hu` run: towards the head, posterior, left.
AXIAL = ("S", "P", "L")
STEEPEST_DEGREES = 30.0  # scanners' gantries tilt by at most this; beyond it a slice is no axial slice
MAX_SIDE = 4096  # CT has 512 or 1024; a header that claims more than this is damaged or hostile
MAX_VOXELS = 400_000_000  # 1,500 slices of 512 x 512; 1.6 GB as float32, and reading takes twice as much


class VolumeSource(NamedTuple):
    """Where a volume is, found from names and headers; its pixels have not been read."""

    path: Path  # the NIfTI or MetaImage file, or the folder in which the series' first file lies
    kind: str  # 'dicom', 'nifti' or 'metaimage'
    files: tuple[Path, ...]  # in the order of their names
    series: str = ""  # SeriesInstanceUID; '' for other kinds
    identity: str = ""  # what tells a DICOM volume from all others, wherever its files lie; '' where nothing does
    patient: str = ""  # PatientID as read, '' where unknown; never write it into an output
    study: str = ""  # StudyInstanceUID
    number: str = ""  # SeriesNumber


class Volume(NamedTuple):
    """A CT volume; slices are axial, rows run anterior to posterior, columns from the patient's right to the left."""

    hu: np.ndarray  # [Z, H, W] float32 Hounsfield units, Z from feet to head
    affine: np.ndarray  # [4, 4] (z, row, column, 1) of `hu` -> mm to the right, anterior, head (RAS, as NIfTI)
    spacing_mm: tuple[float, float, float]  # distance of the slices along their normal, of rows, of columns
    patient: str  # PatientID as read, '' where unknown; never write it into an output
    series: str  # SeriesInstanceUID, or the file's name without its suffix
    source: Path  # the file, or the folder of the series
    orientation: str  # where the array axes of the source run, such as 'LPS' (DICOM as column, row, slice) or 'RAS'
    left_out: tuple[str, ...] = ()  # a line for each slice of the source that is not in `hu`


def to_axial(values: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Turn and flip an array so that its axes run as those of `Volume.hu`; no voxel is interpolated.

    Args:
        values: [I, J, K] in any orientation.
        affine: [4, 4] (i, j, k, 1) -> mm in RAS.

    Returns:
        the [Z, H, W] array, its affine, and the orientation it had

    Raises:
        NotAxialError: no axis of the array runs within 30 degrees of feet to head.
        DataError: the affine is singular or not finite.
    """
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise DataError(f"the affine {affine.tolist()} maps the volume onto a plane or nowhere. Export it again.")
    start = io_orientation(affine)
    image = nib.Nifti1Image(values, affine).as_reoriented(ornt_transform(start, axcodes2ornt(AXIAL)))
    _check_axial(image.affine)
    return np.ascontiguousarray(image.dataobj), image.affine, "".join(ornt2axcodes(start))


def _check_axial(affine: np.ndarray) -> None:
    normal = np.cross(affine[:3, 1], affine[:3, 2])
    angle = np.degrees(np.arccos(min(1.0, abs(normal[2]) / np.linalg.norm(normal))))
    if angle > STEEPEST_DEGREES:
        raise NotAxialError(
            f"its slices are tilted by {angle:.0f} degrees against the axial plane; at most {STEEPEST_DEGREES:.0f} are "
            "usable. Export the axial reconstruction."
        )


def spacing_of(affine: np.ndarray) -> tuple[float, float, float]:
    """Return (slice distance along the normal, row, column) in mm; a gantry tilt shears the first axis."""
    normal = np.cross(affine[:3, 1], affine[:3, 2])
    distance = abs(normal @ affine[:3, 0]) / np.linalg.norm(normal)
    return float(distance), *(float(np.linalg.norm(affine[:3, axis])) for axis in (1, 2))


def to_source_geometry(volume: Volume, values: np.ndarray) -> nib.Nifti1Image:
    """Return `values` as an image that lies voxel by voxel on the file that `volume` came from.

    Args:
        volume: as read.
        values: [Z, H, W], one value for each voxel of `volume.hu`.

    Raises:
        DataError: `values` have another shape.
    """
    if values.shape != volume.hu.shape:
        raise DataError(
            f"the map is {values.shape} and its volume {volume.hu.shape}. Resize the map to the volume's slices."
        )
    back = ornt_transform(axcodes2ornt(AXIAL), axcodes2ornt(tuple(volume.orientation)))
    image = nib.Nifti1Image(values, volume.affine).as_reoriented(back)
    image.header.set_xyzt_units("mm")
    return image


def check_size(path: Path, shape: tuple[int, ...]) -> None:
    """Raise a DataError if a header claims a size that no CT has; called before any pixel is read."""
    if len(shape) != 3 or min(shape) < 1:
        raise DataError(f"{path} has the shape {tuple(shape)}; a volume has three axes. Export one volume a file.")
    if max(shape) > MAX_SIDE or int(np.prod(shape, dtype=np.int64)) > MAX_VOXELS:
        raise DataError(
            f"{path} claims {'x'.join(map(str, shape))} voxels; at most {MAX_SIDE} a side and {MAX_VOXELS} in all are "
            "read. It is damaged or no CT."
        )
