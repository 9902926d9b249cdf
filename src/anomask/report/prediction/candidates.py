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
    area_mm2: float | None  # in the slice where it is largest; None where the spacing is not known
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
    boxes = ndimage.find_objects(labels)
    # From here on the few pixels above the threshold alone: whole-volume temporaries would take gigabytes.
    places = np.nonzero(labels)
    number, values = labels[places], anomaly_map[places]
    sizes = np.bincount(number, minlength=n_found + 1)
    kept = np.flatnonzero(sizes[1:] >= min_pixels) + 1
    falling = np.lexsort((-values, number))  # by region, then the highest first; of equal ones the first in the array
    highest = falling[np.searchsorted(number[falling], kept)]
    sums = [np.bincount(number, along, n_found + 1)[kept] for along in places]
    area, unit = (1.0, "px") if spacing_mm is None else (float(np.prod(spacing_mm)), f"mm{anomaly_map.ndim}")
    sections = sizes if anomaly_map.ndim == 2 else _largest_sections(number, places[0], n_found)
    pixel_mm2 = None if spacing_mm is None else float(np.prod(spacing_mm[-2:]))
    order = np.argsort(-values[highest], kind="stable")
    rank = np.zeros(n_found + 1, labels.dtype)
    rank[kept[order]] = np.arange(1, len(kept) + 1)
    labels[places] = rank[number]
    candidates = []
    for row in order:
        region, n_pixels = kept[row], int(sizes[kept[row]])
        peak_at = tuple(int(along[highest[row]]) for along in places)
        centroid = tuple(float(along[row]) / n_pixels for along in sums)
        box = tuple((part.start, part.stop - 1) for part in boxes[region - 1])
        in_mm = (_to_mm(affine, peak_at), _to_mm(affine, centroid))
        peak = float(values[highest[row]])
        section = None if pixel_mm2 is None else pixel_mm2 * int(sections[region])
        candidates.append(Candidate(peak, peak_at, centroid, box, n_pixels, area * n_pixels, unit, section, *in_mm))
    return candidates, labels


def _largest_sections(number: np.ndarray, slices: np.ndarray, n_found: int) -> np.ndarray:
    """Return the pixels of each region in the slice where it has most, [n_found + 1], from the pixels' own [n]."""
    depth = int(slices.max(initial=0)) + 1
    key, counts = np.unique(number.astype(np.int64) * depth + slices, return_counts=True)
    largest = np.zeros(n_found + 1, int)
    np.maximum.at(largest, key // depth, counts)
    return largest


def boxes_on_slice(labels: np.ndarray) -> dict[int, tuple[tuple[int, int], ...]]:
    """Return the box of each candidate on one slice, first and last (row, column) of labels [H, W], by its number."""
    found = enumerate(ndimage.find_objects(labels), 1)
    return {number: tuple((p.start, p.stop - 1) for p in place) for number, place in found if place is not None}


def _to_mm(affine: np.ndarray | None, place: tuple[float, ...]) -> tuple[float, ...] | None:
    return None if affine is None else tuple(float(value) for value in affine[:3, :3] @ place + affine[:3, 3])
