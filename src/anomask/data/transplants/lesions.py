"""Real lesions put into real normal slices: the same patient, scanner and window with and without a lesion.

Slice scores between patients follow body and scanner. A transplant differs from its untouched host in the lesion alone,
and its mask is exact.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage, signal

LEAST_PIXELS = 40  # a smaller component is more outline than lesion
RING_PX = 8  # healthy lung within this distance of a lesion is what it is compared with
LEAST_RISE = 0.05  # of the grey range; a component that is hardly denser than its surroundings shows nothing
NOISE_PX = 0.8  # smoothing of the lesion: the noise of a transplant is its host's
FITS = 0.95  # share of a lesion that must lie in the host's lung
TALLEST = 0.35  # of the slice's side; a larger component does not fit elsewhere


class Lesion(NamedTuple):
    """A lesion cut out of a slice."""

    density: np.ndarray  # [h, w] float32, share of the way from healthy lung to full density; can be below 0
    mask: np.ndarray  # [h, w] bool
    patient: str
    source: str  # the slice it is from


def cut_lesions(image: np.ndarray, mask: np.ndarray, lung: np.ndarray, patient: str, source: str) -> list[Lesion]:
    """Cut the connected lesions out of a slice.

    Density is relative: (x - healthy) / (1 - healthy), healthy = the median of the lung around the lesion. What
    an opacity adds to dark lung and to lung at another window then comes out alike.

    Args:
        image: [S, S] float32 in [0, 1].
        mask: [S, S] bool, lesions.
        lung: [S, S] bool.
        patient: whose lesions these are.
        source: the slice's name.

    Returns:
        the components that can be used, see the constants above
    """
    smooth = ndimage.gaussian_filter(image.astype(np.float32), NOISE_PX)
    labels, _ = ndimage.label(mask)
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        own = labels[box] == number
        if own.sum() < LEAST_PIXELS or max(own.shape) > TALLEST * len(image):
            continue
        wide = tuple(slice(max(0, side.start - RING_PX), side.stop + RING_PX) for side in box)
        ring = ndimage.binary_dilation(labels[wide] == number, iterations=RING_PX) & lung[wide] & ~mask[wide]
        if ring.sum() < LEAST_PIXELS:
            continue
        healthy = float(np.median(smooth[wide][ring]))
        density = (smooth[box] - healthy) / max(1.0 - healthy, 1e-3)
        if density[own].mean() >= LEAST_RISE:
            found.append(Lesion(density, own, patient, source))
    return found


def rescaled(lesion: Lesion, scale: float) -> Lesion:
    """Return the lesion at `scale` times its side."""
    size = tuple(max(1, round(scale * side)) for side in reversed(lesion.mask.shape))
    density = np.asarray(Image.fromarray(lesion.density, mode="F").resize(size, Image.Resampling.BICUBIC))
    mask = np.asarray(Image.fromarray(lesion.mask.astype(np.float32), mode="F").resize(size, Image.Resampling.BILINEAR))
    return lesion._replace(density=density, mask=mask >= 0.5)


def places(lung: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the corners (row, column) where a lesion [h, w] lies in the lung [S, S]: [n, 2], all of them at once."""
    if not mask.any() or any(inner > outer for inner, outer in zip(mask.shape, lung.shape, strict=True)):
        return np.empty((0, 2), int)
    covered = signal.fftconvolve(lung.astype(np.float64), mask[::-1, ::-1].astype(np.float64), mode="valid")
    return np.argwhere(covered >= FITS * mask.sum())


def transplant(
    host: np.ndarray, lung: np.ndarray, lesion: Lesion, strength: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """Put a lesion at a random place of the lung.

    x + strength * density * (1 - x): the host's vessels, texture and noise stay and fade as the lesion gets denser.

    Args:
        host: [S, S] float32 in [0, 1], normal.
        lung: [S, S] bool, where it may lie.
        lesion: see `cut_lesions`.
        strength: 1 keeps the lesion's own density.
        rng: of the place.

    Returns:
        slice [S, S] float32 in [0, 1] and its lesion mask [S, S] bool, or None where it fits nowhere
    """
    corners = places(lung, lesion.mask)
    if not len(corners):
        return None
    row, column = corners[rng.integers(len(corners))]
    height, width = lesion.mask.shape
    box = (slice(row, row + height), slice(column, column + width))
    inside = np.zeros(host.shape, np.float32)
    inside[box] = lesion.mask
    edge = (2.0 * ndimage.gaussian_filter(inside, NOISE_PX)[box] - 1.0).clip(0.0)  # no cut line, nothing outside
    changed, mask = host.astype(np.float32).copy(), np.zeros(host.shape, bool)
    changed[box] += edge * strength * lesion.density.clip(0.0) * (1.0 - changed[box])
    mask[box] = lesion.mask
    return changed.clip(0.0, 1.0), mask


def half_of(patients: Sequence[str], half: str) -> set[str]:
    """Return every other patient in the order of their names: 'development' the first of each two, 'test' the other."""
    return set(sorted(set(patients))[half == "test" :: 2])
