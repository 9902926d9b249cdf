"""Grids to tokens and back. Slices are square, so N tokens are a grid of sqrt(N) by sqrt(N)."""

import math

import torch.nn.functional as F
from torch import Tensor


def to_tokens(grid: Tensor) -> Tensor:
    """Turn [B, C, h, w] into [B, N, C], row-major."""
    return grid.flatten(2).transpose(1, 2)


def to_grid(tokens: Tensor) -> Tensor:
    """Turn [B, N, C] into [B, C, h, w]."""
    batch, n_tokens, width = tokens.shape
    side = math.isqrt(n_tokens)
    return tokens.transpose(1, 2).reshape(batch, width, side, side)


def patch_mean(pixels: Tensor, stride: int) -> Tensor:
    """Average [B, 1, S, S] over each token's stride x stride pixel patch: [B, N]."""
    return F.avg_pool2d(pixels.float(), stride).flatten(1)
