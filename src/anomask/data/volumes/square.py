"""Slices whose pixels are longer than wide, or wider than long, as slices with square pixels, and back."""

import numpy as np
from PIL import Image

from anomask.errors import DataError

SQUARE = 1.02  # pixels up to this much longer on one side pass for square
LONGEST = 8.0  # a header that makes them longer is damaged


def square_spacing(spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """Return the (row, column) spacing of `to_square_pixels`' result: the finer one, where they differ.

    Raises:
        DataError: they differ more than any scanner's.
    """
    fine, coarse = sorted(spacing_mm)
    if coarse > LONGEST * fine:
        raise DataError(f"its pixels are {coarse:.3g} by {fine:.3g} mm, which no CT has. Export it again.")
    return spacing_mm if coarse <= SQUARE * fine else (fine, fine)


def to_square_pixels(values: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Resize a slice so that its pixels are square in mm; one with square pixels is returned as it is.

    Args:
        values: [H, W] greys or HU, or a mask: bool.
        spacing_mm: (row, column).
    """
    wanted = square_spacing(spacing_mm)
    height, width = (round(size * own / new) for size, own, new in zip(values.shape, spacing_mm, wanted, strict=True))
    resized = resize_to(values.astype(np.float32), (height, width))
    if values.dtype == bool:
        return resized >= 0.5
    return (np.rint(resized) if values.dtype.kind in "iu" else resized).astype(values.dtype)


def resize_to(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize [H, W] float32 linearly to `shape`; of its own shape it is returned as it is."""
    if values.shape == shape:
        return values
    return np.asarray(Image.fromarray(values).resize(shape[::-1], Image.Resampling.BILINEAR))
