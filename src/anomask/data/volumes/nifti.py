"""NIfTI files as volumes."""

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from anomask.data.volumes.geometry import Volume, VolumeSource, check_size, spacing_of, to_axial
from anomask.errors import DataError

DAMAGED = (OSError, EOFError, ValueError, zlib.error, ImageFileError, nib.spatialimages.HeaderDataError)
TO_MM = {"meter": 1000.0, "micron": 0.001}  # other units, and none, are taken for mm


def is_nifti(path: Path) -> bool:
    """Say whether the name is that of a NIfTI file."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def stem_of(path: Path) -> str:
    """Return a file's name without .nii, .nii.gz or its one suffix."""
    name = path.name[: -len(".gz")] if path.name.lower().endswith(".nii.gz") else path.name
    return Path(name).stem


def read_nifti(source: VolumeSource) -> Volume:
    """Read a NIfTI file; see `Volume`.

    Raises:
        DataError: damaged, not three-dimensional, too large, colour, or without orientation.
        NotAxialError: no axis runs along the body.
    """
    image = open_nifti(source.path)
    scale = TO_MM.get(image.header.get_xyzt_units()[0], 1.0)
    hu, affine, orientation = to_axial(voxels_of(image, source.path), np.diag([scale] * 3 + [1.0]) @ image.affine)
    return Volume(
        hu, affine, spacing_of(affine), "", stem_of(source.path), source.path, orientation, header=image.header
    )


def open_nifti(path: Path) -> nib.Nifti1Image:
    """Open a NIfTI file and check its header; no voxel is read yet.

    Raises:
        DataError: see `read_nifti`.
    """
    try:
        image = nib.load(path)
    except DAMAGED as error:
        raise DataError(f"{path} cannot be read as NIfTI ({_short(error)}). Copy or export it again.") from error
    if not isinstance(image, nib.Nifti1Image | nib.Nifti2Image):
        raise DataError(f"{path} is {type(image).__name__}; a NIfTI file of one volume is wanted.")
    if image.get_data_dtype().fields or image.get_data_dtype().kind not in "iuf":
        raise DataError(f"{path} holds {image.get_data_dtype()}; numbers are wanted, not colours. Export it as grey.")
    if image.ndim == 4 and image.shape[3] == 1:
        image = image.slicer[..., 0]
    check_size(path, image.shape)
    if int(image.header["sform_code"]) == 0 and int(image.header["qform_code"]) == 0:
        raise DataError(f"{path} does not say how it lies (sform and qform are 0). Export it with its orientation.")
    return image


def voxels_of(image: nib.Nifti1Image, path: Path) -> np.ndarray:
    """Read the voxels in the file's own orientation, scaled as the header says: [I, J, K] float32.

    Raises:
        DataError: the file is cut off, or holds NaN or infinity.
    """
    try:
        values = image.get_fdata(dtype=np.float32, caching="unchanged")
    except DAMAGED as error:
        raise DataError(f"{path} is cut off or damaged ({_short(error)}). Copy it again.") from error
    if not np.isfinite(values).all():
        raise DataError(f"{path} has voxels that are no numbers (NaN or infinity). Export it again.")
    return values


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120]
