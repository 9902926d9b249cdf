"""A rough lung mask from the slice itself, to keep synthetic anomalies inside the lung where no mask came with it."""

import numpy as np
from scipy import ndimage


def estimate_lungs(image: np.ndarray, smoothing_px: float = 1.0, smallest_share: float = 0.004) -> np.ndarray:
    """Estimate the lungs of an axial chest-CT slice.

    Dark regions are lung, airways and the air around the body; the air reaches a corner of the frame or is a sliver at
    its border. Thin dark structures (fat planes, skin folds) are opened away, vessels inside the lung are closed.
    Good enough to bound where training corrupts; not a segmentation to report, and blind to consolidated lung.

    Args:
        image: [S, S] float in [0, 1], dark lung on bright tissue.
        smoothing_px: Gaussian smoothing before the threshold, in pixels.
        smallest_share: regions below this share of the slice are dropped.

    Returns:
        [S, S] bool; may be empty
    """
    smooth = ndimage.gaussian_filter(image.astype(np.float32), smoothing_px)
    side = max(2, round(0.02 * image.shape[0]))
    disc = np.hypot(*np.mgrid[-side : side + 1, -side : side + 1]) <= side
    dark = np.pad(smooth < otsu_threshold(smooth), side, mode="edge")
    labels, _ = ndimage.label(ndimage.binary_opening(dark, disc)[side:-side, side:-side])
    share = np.bincount(labels.ravel()) / labels.size
    kept = share >= smallest_share
    kept[_border_labels(labels)] &= share[_border_labels(labels)] >= 8 * smallest_share  # a tightly cropped lung
    kept[labels[[0, 0, -1, -1], [0, -1, 0, -1]]] = False
    kept[0] = False
    closed = ndimage.binary_closing(np.pad(kept[labels], side), disc)[side:-side, side:-side]
    holes, _ = ndimage.label(ndimage.binary_fill_holes(closed) & ~closed)
    small = np.bincount(holes.ravel()) < 0.01 * holes.size  # vessels; the mediastinum between the lungs is larger
    small[0] = False
    return closed | small[holes]


def _border_labels(labels: np.ndarray) -> np.ndarray:
    return np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))


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
