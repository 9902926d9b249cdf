"""The frame of a slice: the square part of it that the networks see, the whole slice or the box of its lungs."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MARGIN = 0.04  # of the box's side, at each of its borders
LEAST_SIDE = 0.5  # of the slice's side: at an apex or a base the lungs are a few pixels, and enlarged they are noise
CROPS = ("none", "lungs")  # what `data.crop` may be


class Frame(NamedTuple):
    """A square part of a square slice, in shares of the slice's side."""

    top: float
    left: float
    side: float


WHOLE = Frame(0.0, 0.0, 1.0)


def lung_frame(lung: np.ndarray) -> Frame:
    """Return the square box of the lungs of a square slice [S, S] bool with its margin; the whole slice without lungs.

    It lies inside the slice; lungs wider than that leave the whole slice.
    """
    if not lung.any():
        return WHOLE
    size = len(lung)
    ends = [np.flatnonzero(lung.any(axis))[[0, -1]] for axis in (1, 0)]  # first and last row, then column
    extent = max(last + 1 - first for first, last in ends)
    side = min(size, max(round(extent * (1 + 2 * MARGIN)), round(LEAST_SIDE * size)))
    # The middle of the lungs is the middle of the box, unless it would leave the slice.
    top, left = (min(max(0, round((first + last + 1 - side) / 2)), size - side) for first, last in ends)
    return Frame(top / size, left / size, side / size)


def cut(values: np.ndarray, frame: Frame) -> np.ndarray:
    """Return the part of a square array [N, N] that lies in the frame, [n, n]."""
    top, left, side = _pixels(frame, len(values))
    return values[top : top + side, left : left + side]


def paste(values: np.ndarray, frame: Frame, size: int) -> np.ndarray:
    """Return a square array [size, size] with `values` [n, n] in the frame and 0 around it; n is `frame_px`'s."""
    top, left, side = _pixels(frame, size)
    whole = np.zeros((size, size), values.dtype)
    whole[top : top + side, left : left + side] = values
    return whole


def frame_px(frame: Frame, size: int) -> int:
    """Return the side in pixels of a frame in a square slice of `size` pixels."""
    return _pixels(frame, size)[2]


def in_slice(maps: Tensor, frames: Tensor) -> Tensor:
    """Put maps of frames back into their slices, at the maps' own size.

    Figures of framed and of whole slices are compared in this geometry. Interpolation is bilinear.

    Args:
        maps: [B, 1, S, S]
        frames: [B, 3], `Frame` of each.

    Returns:
        [B, 1, S, S], 0 outside the frames; `maps` itself where all frames are whole slices
    """
    whole = frames.new_tensor(WHOLE)
    if bool((frames == whole).all()):
        return maps
    top, left, side = frames.to(maps.dtype).unbind(1)
    zero = torch.zeros_like(side)
    rows = [1 / side, zero, (1 - 2 * left) / side - 1, zero, 1 / side, (1 - 2 * top) / side - 1]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(maps.shape), align_corners=False)
    return F.grid_sample(maps, grid, padding_mode="zeros", align_corners=False)


def _pixels(frame: Frame, size: int) -> tuple[int, int, int]:
    side = max(1, round(frame.side * size))
    return min(round(frame.top * size), size - side), min(round(frame.left * size), size - side), side
