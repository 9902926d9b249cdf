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
# Distances of CT's slices, rows and columns lie well inside; outside the header counts in metres or is damaged.
SMALLEST_MM, LARGEST_MM = 0.02, 100.0
FLAT = 1e-6  # volume of a voxel, as a share of the box of its sides, below which the axes lie in a plane
ORTHONORMAL = 1e-4  # ITK opens nothing whose axes are less at right angles
SCANNER = 1  # NIfTI's code for coordinates of the scanner, which DICOM's are
# What NIfTI's header says of the geometry: names and dates of a header's free texts must not travel.
GEOMETRY = ("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "sform_code")
GEOMETRY += ("srow_x", "srow_y", "srow_z", "xyzt_units")


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


class LeftOut(NamedTuple):
    """A slice of a volume's source that is not in the volume: a copy, or one that does not belong to it."""

    name: str  # path of the file, and the frame in it
    why: str


class Volume(NamedTuple):
    """A CT volume; slices are axial, rows run anterior to posterior, columns from the patient's right to the left."""

    hu: np.ndarray  # [Z, H, W] float32 Hounsfield units, Z from feet to head
    affine: np.ndarray  # [4, 4] (z, row, column, 1) of `hu` -> mm to the right, anterior, head (RAS, as NIfTI)
    spacing_mm: tuple[float, float, float]  # distance of the slices along their normal, of rows, of columns
    patient: str  # PatientID as read, '' where unknown; never write it into an output
    series: str  # SeriesInstanceUID, or the file's name without its suffix
    source: Path  # the file, or the folder of the series
    orientation: str  # where the array axes of the source run, such as 'LPS' (DICOM as column, row, slice) or 'RAS'
    left_out: tuple[LeftOut, ...] = ()
    header: nib.Nifti1Header | None = None  # of a NIfTI source


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
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) <= FLAT * sides.prod():
        raise DataError(f"the affine {affine.tolist()} maps the volume onto a plane or nowhere. Export it again.")
    if sides.min() < SMALLEST_MM or sides.max() > LARGEST_MM:
        raise DataError(
            f"its voxels are {' x '.join(f'{side:.3g}' for side in sides)} mm, which no CT has: the header is damaged "
            "or counts in another unit. Export it in mm."
        )
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
    header = nib.Nifti1Header()
    if volume.header is None:
        header.set_xyzt_units("mm")
        header.set_sform(image.affine, SCANNER)
        header["qform_code"] = SCANNER
    else:
        header["pixdim"][:4] = volume.header["pixdim"][:4]
        for name in GEOMETRY:
            header[name] = volume.header[name]
    if volume.header is None or not _has_qform(header):
        header.set_qform(*_qform_of(header))
    return nib.Nifti1Image(image.dataobj, header.get_best_affine(), header)


def _has_qform(header: nib.Nifti1Header) -> bool:
    try:
        return int(header["qform_code"]) > 0 and bool(np.isfinite(header.get_qform()).all())
    except ValueError:  # no rotation; the source lies by its sform
        return False


def _qform_of(header: nib.Nifti1Header) -> tuple[np.ndarray, int]:
    """Return a qform for a header that has none, and its code.

    A sheared volume, such as one of a tilted gantry, gets a code, too, as ITK opens orthonormal axes alone: its slices
    lie as in the sform, one straight behind the other.
    """
    affine = header.get_sform()
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.allclose(axes.T @ axes, np.eye(3), atol=ORTHONORMAL):
        return affine, int(header["qform_code"])
    slices = int(np.abs(axes[2]).argmax())  # the axis that runs along the body
    normal = np.cross(*np.delete(axes, slices, axis=1).T)
    affine[:3, slices] = normal * (normal @ affine[:3, slices]) / (normal @ normal)
    return affine, int(header["sform_code"])


def check_size(path: Path, shape: tuple[int, ...]) -> None:
    """Raise a DataError if a header claims a size that no CT has; called before any pixel is read."""
    if len(shape) != 3 or min(shape) < 1:
        raise DataError(f"{path} has the shape {tuple(shape)}; a volume has three axes. Export one volume a file.")
    if max(shape) > MAX_SIDE or int(np.prod(shape, dtype=np.int64)) > MAX_VOXELS:
        raise DataError(
            f"{path} claims {'x'.join(map(str, shape))} voxels; at most {MAX_SIDE} a side and {MAX_VOXELS} in all are "
            "read. It is damaged or no CT."
        )
