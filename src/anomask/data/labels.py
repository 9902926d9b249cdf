"""What counts as marked in a mask, whatever format and kind of number its labels were stored as."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from anomask.errors import DataError

ROUNDING = 0.1  # a label is at most this far off its whole number: scaled headers give 1.0000153 for 1
NOISE = 1e-3  # a mask whose values all lie below is empty: interpolation leaves 1e-8
INDICES = 31  # whole numbers up to this are class numbers, above it greys that stand for classes
MOST_GREYS = 8  # of so many greys each may stand for a class; an image with more is no mask
LARGEST = 2**24  # float32 holds whole numbers up to this
STRAY = 0.1  # share of the pixels of classes that may have no equal neighbour
MOST_BETWEEN = 0.5  # share of a mask of one class that may lie at its edges; noise has more
# A mask of one class with soft edges: farther from its edge than `reach` pixels it is, up to `off` of its highest
# value, background or lesion. The first holds for JPEG's ringing within its blocks of 8, both for blur.
SOFT = ((0.1, 8), (0.25, 3))
SOFT_JPEG = ((0.1, 8), (0.25, 4))  # of quality 50 and less, single pixels stray further


class Marked(NamedTuple):
    """What a mask marks."""

    mask: np.ndarray  # bool, in the shape of the mask
    labels: frozenset[int]  # the classes in it, background apart
    soft: bool  # its edges are grey; what reaches half of the highest value counts


def find_marked(values: np.ndarray, labels: Sequence[int] | None, where: str, lossy: bool = False) -> Marked:
    """Say which pixels or voxels a mask marks.

    Values are rounded to whole labels. A mask of one class whose edges alone lie between (anti-aliased, blurred, JPEG)
    is cut at half of its highest value.

    Args:
        values: [H, W] or [Z, H, W] numbers.
        labels: the classes that count; None is every class but 0.
        where: the mask's name, for errors.
        lossy: whether it was stored so that values change a little.

    Raises:
        DataError: values lie between classes, below 0, everywhere above it, or beyond what labels are.
    """
    values = values if values.dtype.kind == "f" else values.astype(np.float32)
    low, top = float(values.min()), float(values.max())
    if not np.isfinite(low + top):
        raise DataError(f"{where} has values that are no numbers (NaN or infinity). Export the mask again.")
    if max(-low, top) > LARGEST:
        raise DataError(f"{where} has values from {low:g} to {top:g}, which are no labels. Export its labels.")
    if max(-low, top) < NOISE:
        return Marked(np.zeros(values.shape, bool), frozenset(), False)
    if low < -max(ROUNDING * top, NOISE) and labels is None:
        raise DataError(f"{where} has values below 0 (lowest {low:g}). Name the labels that count: mask_labels=[...].")
    if labels is None and low > ROUNDING * top:
        raise DataError(f"{where} marks everything (lowest value {low:g}); its background must be 0.")
    whole = np.rint(values)
    exact = not lossy and top > ROUNDING and np.abs(values - whole).max() <= ROUNDING
    one = labels is None or list(labels) == [round(top)]
    if one and not (exact and top <= INDICES) and _is_one_class(values, top, SOFT_JPEG if lossy else SOFT):
        between = (values > ROUNDING * top) & (values < (1 - ROUNDING) * top)
        return Marked(values >= top / 2, frozenset({round(top)}), bool(between.any()))
    present = np.unique(whole[whole != 0]).astype(int).tolist() if exact else []
    if not exact or (top > INDICES and not _are_classes(whole, present, labels)):
        raise DataError(_no_labels(where, lossy))
    mask = whole != 0 if labels is None else np.isin(whole, labels)
    return Marked(mask, frozenset(present), False)


def _is_one_class(values: np.ndarray, top: float, soft: Sequence[tuple[float, int]]) -> bool:
    """Say whether values are background or `top` but near the edges between them."""
    core = values >= top / 2
    between = (values > ROUNDING * top) & (values < (1 - ROUNDING) * top)
    if not between.any():
        return True
    if between.mean() > MOST_BETWEEN:
        return False
    inner = _box_of(between | core, margin=1)
    values, between, core = values[inner], between[inner], core[inner]
    level = ndimage.maximum_filter(values, 3) == ndimage.minimum_filter(values, 3)
    if (level & between).any():  # a flat region is a class of its own
        return False
    for off, reach in soft:
        odd = (values > off * top) & (values < (1 - off) * top)
        size = 2 * reach + 1
        edge = ndimage.maximum_filter(core, size) & ~ndimage.minimum_filter(core, size)
        if (odd & ~edge).any():
            return False
    return True


def _box_of(region: np.ndarray, margin: int) -> tuple[slice, ...]:
    box = ndimage.find_objects(region.astype(np.uint8))[0]
    return tuple(slice(max(0, part.start - margin), part.stop + margin) for part in box)


def _are_classes(whole: np.ndarray, present: list[int], labels: Sequence[int] | None) -> bool:
    """Say whether greys stand for classes: few of them or named ones, in regions rather than in gradients."""
    if labels is None and len(present) > MOST_GREYS:
        return False
    marked = whole != 0
    alike = np.zeros(whole.shape, bool)
    for axis in (-2, -1):
        for shift in (-1, 1):
            alike |= np.roll(whole, shift, axis) == whole
    return bool((marked & ~alike).sum() <= STRAY * marked.sum())


def _no_labels(where: str, lossy: bool) -> str:
    if lossy:
        return f"{where} is a JPEG of several classes or too low quality: JPEG keeps no labels. Export the mask as PNG."
    return (
        f"{where} has values between classes: it is interpolated, a probability or no mask. Export its labels, or "
        "threshold it."
    )
