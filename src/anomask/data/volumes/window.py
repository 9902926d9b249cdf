"""From Hounsfield units to the grey values of a slice."""

from collections.abc import Sequence

import numpy as np

from anomask.errors import ConfigError

# (low, high) in HU. lung is level -600, width 1500; mediastinal 40, 400; wide 0, 2000: lung, soft tissue and most bone.
WINDOWS = {"lung": (-1350.0, 150.0), "mediastinal": (-160.0, 240.0), "wide": (-1000.0, 1000.0)}
GREY_TYPES = {8: np.uint8, 16: np.uint16}


def window_of(name_or_range: str | Sequence[float]) -> tuple[float, float]:
    """Return (low, high) of a window's name, or of a range given as two numbers.

    Raises:
        ConfigError: an unknown name, or no range.
    """
    if isinstance(name_or_range, str):
        if name_or_range not in WINDOWS:
            raise ConfigError(f"window is {name_or_range!r}; use {', '.join(WINDOWS)} or two numbers: [-1000,400].")
        return WINDOWS[name_or_range]
    values = [float(value) for value in name_or_range]
    if len(values) != 2 or not values[0] < values[1]:
        raise ConfigError(f"window is {values}; a range is two numbers, the lower first: [-1000,400].")
    return values[0], values[1]


def to_grey(values: np.ndarray, window: tuple[float, float], bits: int) -> np.ndarray:
    """Map `window` linearly to all grey values of `bits` bits, rounded; values outside it are clipped.

    Args:
        values: of any shape, in the units of `window`.
        window: (low, high).
        bits: 8 or 16.

    Raises:
        ConfigError: another number of bits.
    """
    if bits not in GREY_TYPES:
        raise ConfigError(f"bits is {bits}; use 8 (what training reads) or 16 (for other tools).")
    low, high = window
    brightest = 2**bits - 1
    scaled = (np.asarray(values, np.float64) - low) * (brightest / (high - low))
    return np.rint(scaled.clip(0, brightest)).astype(GREY_TYPES[bits])
