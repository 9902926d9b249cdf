"""Masks and nodule lists that belong to a volume."""

import csv
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from anomask.data.labels import Marked, find_marked
from anomask.data.volumes.formats import read_volume
from anomask.data.volumes.geometry import Volume, VolumeSource
from anomask.data.volumes.metaimage import is_metaimage
from anomask.data.volumes.nifti import is_nifti
from anomask.errors import DataError

FARTHEST_MM = 1.0  # by which a mask's corners may lie off its volume's: headers are rounded


def read_volume_mask(path: Path, volume: Volume, labels: Sequence[int] | None) -> Marked:
    """Read a mask of a volume; see `find_marked`.

    Args:
        path: NIfTI or MetaImage file.
        volume: what it belongs to.
        labels: the classes that count; None is every class but 0.

    Raises:
        DataError: damaged, not of labels, or it does not lie on its volume.
    """
    mask = _open(path)
    if mask.hu.shape != volume.hu.shape:
        raise DataError(
            f"{path} has {mask.hu.shape} voxels, its volume {volume.source} {volume.hu.shape}. Export the mask on the "
            "volume's own grid."
        )
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in mask.hu.shape])).reshape(3, -1).T
    off = np.linalg.norm(nib.affines.apply_affine(mask.affine - volume.affine, corners), axis=1).max()
    if off > FARTHEST_MM:
        raise DataError(
            f"{path} lies {off:.1f} mm off its volume {volume.source}. Export the mask on the volume's own grid."
        )
    return find_marked(mask.hu, labels, str(path))


def labels_of_volume(path: Path, wanted: Sequence[int]) -> frozenset[int]:
    """Return the classes in a mask of which `wanted` are to count.

    Raises:
        DataError: damaged, or not of labels.
    """
    return find_marked(_open(path).hu, wanted, str(path)).labels


def _open(path: Path) -> Volume:
    if not (is_nifti(path) or is_metaimage(path)):
        raise DataError(f"{path} is the mask of a volume; a NIfTI or MetaImage file is wanted.")
    return read_volume(VolumeSource(path, "nifti" if is_nifti(path) else "metaimage", (path,)), values="labels")


def nodule_slices(path: Path, volume: Volume) -> np.ndarray:
    """Say which slices a nodule reaches: [Z] bool.

    Args:
        path: CSV in LUNA16's form: seriesuid, coordX, coordY, coordZ (LPS mm), diameter_mm.
        volume: whose series is looked up.

    Raises:
        DataError: the file cannot be read.
    """
    reached = np.zeros(volume.hu.shape[0], dtype=bool)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.DictReader(stream) if row["seriesuid"] == volume.series]
        for row in rows:
            x, y, z, diameter = (float(row[key]) for key in ("coordX", "coordY", "coordZ", "diameter_mm"))
            index = nib.affines.apply_affine(np.linalg.inv(volume.affine), [-x, -y, z])[0]
            reach = diameter / 2 / volume.spacing_mm[0]
            reached |= np.abs(np.arange(len(reached)) - index) <= max(reach, 0.5)
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise DataError(
            f"{path} cannot be read ({error}); columns seriesuid, coordX, coordY, coordZ, diameter_mm are wanted."
        ) from error
    return reached
