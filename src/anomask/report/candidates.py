"""Lesion candidates: connected regions of a map above a threshold, with where they are and how large."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Candidate:
    """One connected region above the threshold.

    Places are (slice, row, column) in a volume and (row, column) in a slice, all from 0, as the map's array is indexed.
    """

    peak: float  # highest map value
    peak_at: tuple[int, ...]
    centroid: tuple[float, ...]  # mean place of its pixels
    box: tuple[tuple[int, int], ...]  # first and last index along each axis, both inside
    n_pixels: int
    size: float  # in `unit`
    unit: str  # 'mm3', 'mm2', or 'px' where the spacing is not known
    peak_mm: tuple[float, ...] | None = None  # towards the patient's right, anterior, head; volumes alone
    centroid_mm: tuple[float, ...] | None = None


def find_candidates(
    anomaly_map: np.ndarray,
    threshold: float,
    min_pixels: int,
    spacing_mm: tuple[float, ...] | None = None,
    affine: np.ndarray | None = None,
) -> tuple[list[Candidate], np.ndarray]:
    """Find the regions of a map above `threshold`.

    Pixels that share a corner are connected (8 neighbours in a slice, 26 in a volume), as in the lesion metrics.

    Args:
        anomaly_map: [H, W] of a slice, or [Z, H, W] of a volume.
        threshold: a pixel belongs to a candidate if its value is greater.
        min_pixels: smaller regions are left out.
        spacing_mm: distance of neighbouring pixels along each axis, or None where it is not known.
        affine: [4, 4] index -> mm, or None.

    Returns:
        the candidates, the highest peak first, and where they are: [...] int32, 1 for the first and 0 outside of all
    """
    labels, n_found = ndimage.label(anomaly_map > threshold, np.ones((3,) * anomaly_map.ndim))
    sizes = np.bincount(labels.ravel(), minlength=n_found + 1)
    kept = np.flatnonzero(sizes[1:] >= min_pixels) + 1
    if not len(kept):
        return [], np.zeros_like(labels)
    peaks = ndimage.maximum(anomaly_map, labels, kept)
    places = ndimage.maximum_position(anomaly_map, labels, kept)
    centroids = ndimage.center_of_mass(labels > 0, labels, kept)
    boxes = ndimage.find_objects(labels)
    area, unit = (1.0, "px") if spacing_mm is None else (float(np.prod(spacing_mm)), f"mm{anomaly_map.ndim}")
    order = sorted(range(len(kept)), key=lambda row: (-peaks[row], places[row]))
    rank = np.zeros(n_found + 1, labels.dtype)
    rank[kept[order]] = np.arange(1, len(kept) + 1)
    candidates = [
        Candidate(
            peak=float(peaks[row]),
            peak_at=tuple(int(index) for index in places[row]),
            centroid=tuple(float(index) for index in centroids[row]),
            box=tuple((part.start, part.stop - 1) for part in boxes[kept[row] - 1]),
            n_pixels=int(sizes[kept[row]]),
            size=area * int(sizes[kept[row]]),
            unit=unit,
            peak_mm=_to_mm(affine, places[row]),
            centroid_mm=_to_mm(affine, centroids[row]),
        )
        for row in order
    ]
    return candidates, rank[labels]


def boxes_on_slice(labels: np.ndarray) -> dict[int, tuple[tuple[int, int], ...]]:
    """Return the box of each candidate on one slice, first and last (row, column) of labels [H, W], by its number."""
    found = enumerate(ndimage.find_objects(labels), 1)
    return {number: tuple((p.start, p.stop - 1) for p in place) for number, place in found if place is not None}


def _to_mm(affine: np.ndarray | None, place: tuple[float, ...]) -> tuple[float, ...] | None:
    return None if affine is None else tuple(float(value) for value in affine[:3, :3] @ place + affine[:3, 3])
