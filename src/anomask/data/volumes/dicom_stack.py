"""The slices of a DICOM series, put in order by their position along the slice normal, as one array."""

import logging
from itertools import pairwise, takewhile
from typing import NamedTuple

import numpy as np

from anomask.data.volumes.geometry import LeftOut, VolumeSource
from anomask.data.volumes.grid import BESIDE_MM, grid_index, off_the_line
from anomask.errors import DataError

log = logging.getLogger(__name__)

SAME_PLACE_MM = 1e-3
FAR_STEPS = 10  # a slice or two so many steps away from the rest, or
FAR_MM = 5.0  # so far beside it, do not belong to it


class Frame(NamedTuple):
    """One slice of a series as it lies in the patient, in DICOM's LPS millimetres."""

    hu: np.ndarray  # [H, W] float32
    position: np.ndarray  # [3] centre of the first pixel
    orientation: np.ndarray  # [6] direction of growing columns, of growing rows
    spacing: tuple[float, float]  # (row, column)
    thickness: float  # 0 where unknown
    name: str  # of the file, and the frame in it


class Stack(NamedTuple):
    """Frames in order."""

    values: np.ndarray  # [W, H, Z] float32
    affine: np.ndarray  # [4, 4] (column, row, slice, 1) -> RAS mm
    left_out: list[LeftOut]


def stack(frames: list[Frame], source: VolumeSource, allow_gaps: bool) -> Stack:
    """Put frames in order; copies, and one or two frames that plainly do not belong to the rest, are left out.

    Raises:
        DataError: they differ in size, spacing or orientation, lie at one place, or unevenly without `allow_gaps`.
    """
    left_out: list[LeftOut] = []
    frames = _of_one_kind(frames, left_out)
    first = frames[0]
    columns, rows = first.orientation[:3], first.orientation[3:]
    normal = np.cross(columns, rows)
    if not np.isclose(np.linalg.norm(normal), 1.0, atol=1e-2):
        raise DataError(f"{first.name} has ImageOrientationPatient {first.orientation.tolist()}: no right angle.")
    ordered = sorted(frames, key=lambda frame: float(frame.position @ normal))
    ordered = _without_copies(_without_far(ordered, normal, left_out), normal, left_out)
    step = _slice_step(ordered, normal, source, allow_gaps)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([columns * first.spacing[1], rows * first.spacing[0], step], axis=1)
    affine[:3, 3] = ordered[0].position
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # DICOM's left and posterior become NIfTI's right and anterior
    return Stack(np.stack([frame.hu for frame in ordered]).transpose(2, 1, 0), affine, left_out)


def _of_one_kind(frames: list[Frame], left_out: list[LeftOut]) -> list[Frame]:
    """Keep the frames of the size, spacing and orientation that most have; of the others there may be two at most."""
    kinds: list[list[Frame]] = []
    for frame in frames:
        own = next((kind for kind in kinds if _alike(kind[0], frame)), None)
        if own is None:
            kinds.append([frame])
        else:
            own.append(frame)
    most = max(kinds, key=len)
    odd = [frame for kind in kinds if kind is not most for frame in kind]
    if len(odd) > 2 or (odd and len(most) < 3 * len(odd)):
        raise DataError(
            f"{odd[0].name} differs from {most[0].name} in size, spacing or orientation, in one series. Export the "
            "reconstructions as series of their own."
        )
    left_out += [LeftOut(frame.name, "of another size, spacing or orientation than the rest") for frame in odd]
    return most


def _alike(first: Frame, other: Frame) -> bool:
    return (
        first.hu.shape == other.hu.shape
        and np.allclose(first.orientation, other.orientation, atol=1e-3)
        and np.allclose(first.spacing, other.spacing, rtol=1e-3)
    )


def _without_far(ordered: list[Frame], normal: np.ndarray, left_out: list[LeftOut]) -> list[Frame]:
    """Leave out one or two frames that lie far beside the others, or far from them at an end."""
    places = np.array([frame.position for frame in ordered])
    along = places @ normal
    beside = np.linalg.norm(places - np.outer(along, normal) - np.median(places - np.outer(along, normal), 0), axis=1)
    far = beside > FAR_MM
    if (beside > BESIDE_MM).sum() > far.sum():  # a tilted gantry: no slice lies where most do
        far[:] = False
    steps = np.diff(along)
    reach = FAR_STEPS * float(np.median(steps)) if len(steps) else 0.0
    for row in np.flatnonzero(steps > reach) if reach > 0 else ():
        if row < 2 or row >= len(steps) - 2:
            far[slice(0, row + 1) if row < 2 else slice(row + 1, None)] = True
    if not 0 < far.sum() <= 2 or len(ordered) < FAR_STEPS:
        return ordered
    left_out += [LeftOut(ordered[row].name, "far from the other slices") for row in np.flatnonzero(far)]
    return [ordered[row] for row in np.flatnonzero(~far)]


def _without_copies(ordered: list[Frame], normal: np.ndarray, left_out: list[LeftOut]) -> list[Frame]:
    kept: list[Frame] = []
    for frame in ordered:
        # One image stored twice may have two UIDs, and two images may share one: their pixels tell.
        there = takewhile(
            lambda other, frame=frame: float((frame.position - other.position) @ normal) < SAME_PLACE_MM, kept[::-1]
        )
        same = next((other for other in there if np.array_equal(other.hu, frame.hu)), None)
        if same is None:
            kept.append(frame)
        else:
            left_out.append(LeftOut(frame.name, f"the same image as {same.name}"))
    return kept


def _slice_step(ordered: list[Frame], normal: np.ndarray, source: VolumeSource, allow_gaps: bool) -> np.ndarray:
    """Return the vector [3] from slice to slice, in LPS mm; check that the slices lie evenly."""
    if len(ordered) == 1:
        return normal * (ordered[0].thickness or 1.0)
    places = np.array([frame.position for frame in ordered])
    steps = np.diff(places @ normal)
    for (lower, upper), step in zip(pairwise(ordered), steps, strict=True):
        if step < SAME_PLACE_MM:
            raise DataError(
                f"{lower.name} and {upper.name} lie at the same place: the series holds two acquisitions. Export them "
                "as series of their own, or keep one."
            )
    beside = off_the_line(places, normal)
    if beside.max() > BESIDE_MM:
        raise DataError(
            f"{ordered[int(beside.argmax())].name} lies {beside.max():.1f} mm beside the row of the other slices of "
            f"{source.path}: the series holds two acquisitions. Export them as series of their own."
        )
    median, index = float(np.median(steps)), grid_index(places @ normal)
    if not allow_gaps and (index is None or index[-1] != len(index) - 1):
        worst = int(np.abs(steps - median).argmax())
        raise DataError(
            f"{ordered[worst].name} and {ordered[worst + 1].name} are {steps[worst]:.2f} mm apart, the other slices of "
            f"{source.path} {median:.2f} mm: a slice is missing. Add it, or use the slices one by one with "
            "allow_gaps=true."
        )
    if index is None or index[-1] != len(index) - 1:
        log.warning(
            "%s has gaps: what is said in mm along the body holds for slices %.2f mm apart", source.path, median
        )
    total = places[-1] - places[0]
    return total * (median / float(total @ normal)) if allow_gaps else total / (len(ordered) - 1)
