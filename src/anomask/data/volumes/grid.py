"""Do slices lie behind one another in even steps? Positions are often rounded, and slices may be missing."""

import numpy as np

UNEVEN = 0.1  # a slice may lie off its place in an even grid by this share of a step,
ROUNDED_MM = 0.15  # or by this: positions are often rounded to 0.1 mm,
HALF_STEP = 0.45  # but never by half a step: it could be its neighbour
TWO_STEPS = 1.6  # from so many median steps on a slice is missing; rounded, one of 0.25 mm may look like 1.5
BESIDE_MM = 1.0  # a slice may lie beside the line through the first and the last


def grid_index(along: np.ndarray) -> np.ndarray | None:
    """Return the place of each slice in an even grid, [N] from 0, or None where they lie in none.

    0, 1, 2, ... where no slice is missing.

    Args:
        along: [N] positions along the slices' normal in mm, growing.
    """
    if len(along) < 2:
        return np.arange(len(along))
    steps = np.diff(along)
    median = float(np.median(steps))
    if median <= 0:
        return None
    if steps.max() < TWO_STEPS * median and _fits(along, np.arange(len(along))):
        return np.arange(len(along))
    skipped = np.concatenate([[0], np.cumsum(np.rint(steps / median))])
    return skipped.astype(int) if (np.diff(skipped) >= 1).all() and _fits(along, skipped) else None


def _fits(along: np.ndarray, index: np.ndarray) -> bool:
    step, start = np.polyfit(index, along, 1)
    tolerance = min(max(UNEVEN * step, ROUNDED_MM), HALF_STEP * step)
    return bool(np.abs(along - start - step * index).max() <= tolerance)


def off_the_line(positions: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return how far each slice lies beside the line from the first to the last, in its own plane: [N] mm.

    A tilted gantry shifts every slice against the one before, along a line; only a slice that leaves it is off.

    Args:
        positions: [N, 3] mm, in the order of the slices.
        normal: [3] of the slices, of length 1.
    """
    along = positions @ normal
    share = (along - along[0]) / max(float(along[-1] - along[0]), 1e-9)
    line = positions[0] + share[:, None] * (positions[-1] - positions[0])
    return np.linalg.norm(positions - line, axis=1)
