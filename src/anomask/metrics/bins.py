"""The layout of the score histograms' bins, see `anomask.metrics.histogram`. Knows no torch."""

import numpy as np

SHIFT = 11  # low bits cut from a pattern: a bin's relative width is 2^-12


def pattern(value: float) -> int:
    """Return the bit pattern of a float32 without its low bits."""
    return int(np.float32(value).view(np.int32)) >> SHIFT


LEAST = pattern(2.0**-40)  # smaller scores share the bin of zero
HALF = pattern(0.5) - LEAST  # bins below a score of 0.5
ONE = 2 * pattern(0.5) - pattern(2.0**-25) - LEAST + 1  # bins below a score of 1
N_BINS = ONE + pattern(2.0**40) - pattern(1.0) + 1  # larger scores share the last bin
