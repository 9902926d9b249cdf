"""A rough lung mask from the slice itself, for slices that came without one."""

import numpy as np
from scipy import ndimage

# Lengths are shares of the slice's longer side, tuned on every third slice of covidseg256 (benchmarks/lungs.py).
SHELL = 0.008  # the scanner's table and blankets are shells thinner than twice this; the chest wall is thicker
GAP = 0.04  # vessels and lesions up to twice this wide are closed over
SMALLEST = 0.004  # share of the slice's area below which a region is no lung
MOST = 0.7  # share of a region that lies inside the body, from which all of it does
LARGEST_HOLE = 0.01  # share of the slice's area; the mediastinum between the lungs is larger
AIR_HU = -400.0  # between aerated lung (about -850) and soft tissue (about 40)


def estimate_lungs(image: np.ndarray, threshold: float | None = None, smoothing_px: float = 1.0) -> np.ndarray:
    """Estimate the lungs of an axial chest-CT slice.

    The body is the largest bright region that is not a thin shell. Dark pixels are lung or airway where the body lies
    in front of them, behind them and on at least one side (a tight crop may cut the other); air around the body and
    inside the table does not. Vessels and small lesions inside the lung are closed over. Good enough to bound where
    training corrupts and to leave out slices without lung; not a segmentation to report, and blind to large
    consolidations: benchmarks/lungs.py measures both.

    Args:
        image: [H, W] float, dark lung on bright tissue, in any unit.
        threshold: below it a pixel is dark, such as `AIR_HU`; None is Otsu's, for grey values.
        smoothing_px: Gaussian smoothing before the threshold, in pixels.

    Returns:
        [H, W] bool; may be empty
    """
    side = max(image.shape)
    smooth = ndimage.gaussian_filter(image.astype(np.float32), smoothing_px)
    dark = smooth < (otsu_threshold(smooth) if threshold is None else threshold)
    body = _dilate(_largest(_erode(~dark, SHELL * side)), SHELL * side)
    inside = _enclosed(body)
    # A chest wall as thin as a shell must not cut its lung: a region that lies mostly inside is kept whole.
    labels, count = ndimage.label(dark)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    whole = np.bincount(labels.ravel(), inside.ravel(), count + 1) >= MOST * np.maximum(sizes, 1)
    kept = _without_small(dark & (inside | whole[labels]), SMALLEST)
    if not kept.any():
        return kept
    margin = int(GAP * side) + 2
    closed = ~_dilate(~_dilate(np.pad(kept, margin), GAP * side), GAP * side)
    closed = closed[margin:-margin, margin:-margin] & (inside | kept)
    holes, _ = ndimage.label(ndimage.binary_fill_holes(closed) & ~closed)
    small = np.bincount(holes.ravel()) < LARGEST_HOLE * holes.size
    small[0] = False
    return closed | small[holes]


def _enclosed(body: np.ndarray) -> np.ndarray:
    """Mark pixels with body above, below, and left or right of them."""
    reach = np.logical_or.accumulate
    above, below = reach(body, 0), reach(body[::-1], 0)[::-1]
    left, right = reach(body, 1), reach(body[:, ::-1], 1)[:, ::-1]
    return above & below & (left | right)


def _erode(region: np.ndarray, radius: float) -> np.ndarray:
    # Distance transforms are a disc's erosion and dilation at a tenth of the time; the slice goes on beyond its border.
    return region if region.all() else ndimage.distance_transform_edt(region) > radius


def _dilate(region: np.ndarray, radius: float) -> np.ndarray:
    return ndimage.distance_transform_edt(~region) <= radius if region.any() else region


def _largest(region: np.ndarray) -> np.ndarray:
    labels, _ = ndimage.label(region)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax() if sizes.any() else region


def _without_small(region: np.ndarray, smallest_share: float) -> np.ndarray:
    labels, _ = ndimage.label(region)
    kept = np.bincount(labels.ravel()) >= smallest_share * labels.size
    kept[0] = False
    return kept[labels]


def otsu_threshold(values: np.ndarray, bins: int = 256) -> float:
    """Return the threshold that separates `values` into two classes best (Otsu 1979)."""
    counts, edges = np.histogram(values, bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = counts.cumsum()
    above = below[-1] - below
    sums = (counts * centres).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(centres[int(np.nan_to_num(between).argmax())])  # a constant slice has no two classes
