"""The slices of a DICOM series, put in order by their position along the slice normal, as one array."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from anomask.data.volumes.geometry import VolumeSource
from anomask.errors import DataError

UNEVEN = 0.1  # steps may differ from the median by this share: positions are often rounded to 0.1 mm
SAME_PLACE_MM = 1e-3


class Frame(NamedTuple):
    """One slice of a series as it lies in the patient, in DICOM's LPS millimetres."""

    hu: np.ndarray  # [H, W] float32
    position: np.ndarray  # [3] centre of the first pixel
    orientation: np.ndarray  # [6] direction of growing columns, of growing rows
    spacing: tuple[float, float]  # (row, column)
    thickness: float  # 0 where unknown
    name: str  # of the file, and the frame in it


def stack(frames: list[Frame], source: VolumeSource, allow_gaps: bool) -> tuple[np.ndarray, np.ndarray]:
    """Put frames in order: [W, H, Z] float32 and the affine (column, row, slice, 1) -> RAS mm.

    Raises:
        DataError: they differ in size, spacing or orientation, lie at one place, or unevenly without `allow_gaps`.
    """
    first = frames[0]
    for frame in frames:
        alike = np.allclose(frame.orientation, first.orientation, atol=1e-3) and np.allclose(
            frame.spacing, first.spacing, rtol=1e-3
        )
        if frame.hu.shape != first.hu.shape or not alike:
            raise DataError(
                f"{frame.name} differs from {first.name} in size, spacing or orientation, in one series. Export the "
                "reconstructions as series of their own."
            )
    columns, rows = first.orientation[:3], first.orientation[3:]
    normal = np.cross(columns, rows)
    if not np.isclose(np.linalg.norm(normal), 1.0, atol=1e-2):
        raise DataError(f"{first.name} has ImageOrientationPatient {first.orientation.tolist()}: no right angle.")
    ordered = sorted(frames, key=lambda frame: float(frame.position @ normal))
    step = _slice_step(ordered, normal, source, allow_gaps)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([columns * first.spacing[1], rows * first.spacing[0], step], axis=1)
    affine[:3, 3] = ordered[0].position
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # DICOM's left and posterior become NIfTI's right and anterior
    return np.stack([frame.hu for frame in ordered]).transpose(2, 1, 0), affine


def _slice_step(ordered: list[Frame], normal: np.ndarray, source: VolumeSource, allow_gaps: bool) -> np.ndarray:
    """Return the vector [3] from slice to slice, in LPS mm; check that the slices lie evenly."""
    if len(ordered) == 1:
        return normal * (ordered[0].thickness or 1.0)
    steps = np.diff([float(frame.position @ normal) for frame in ordered])
    median = float(np.median(steps))
    for (lower, upper), step in zip(pairwise(ordered), steps, strict=True):
        if step < SAME_PLACE_MM:
            raise DataError(
                f"{lower.name} and {upper.name} lie at the same place: the series holds two acquisitions. Export them "
                "as series of their own, or keep one."
            )
        if abs(step - median) > UNEVEN * median and not allow_gaps:
            raise DataError(
                f"{lower.name} and {upper.name} are {step:.2f} mm apart, the other slices of {source.path} "
                f"{median:.2f} mm: a slice is missing. Add it, or use the slices one by one with allow_gaps=true."
            )
    total = ordered[-1].position - ordered[0].position
    return total * (median / float(total @ normal)) if allow_gaps else total / (len(ordered) - 1)
