"""Random numbers drawn slice by slice: a slice gets the same ones in whatever batch or process it is."""

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor


class SliceDraws:
    """Random numbers of a batch of slices, each slice's from a generator of its own; all on the CPU.

    Args:
        seeds: one a slice.
    """

    def __init__(self, seeds: Iterable[int]) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def of(self, chosen: Tensor) -> Self:
        """Return the draws of some slices, `chosen` [B] bool; they go on where these are."""
        some = type(self)([])
        some.generators = [own for own, wanted in zip(self.generators, chosen.tolist(), strict=True) if wanted]
        return some

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers in [0, 1), [B, *shape]."""
        return torch.stack([torch.rand(shape, generator=generator) for generator in self.generators])

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers, [B, *shape]."""
        return torch.stack([torch.randn(shape, generator=generator) for generator in self.generators])

    def whole(self, end: int, *shape: int) -> Tensor:
        """Return whole numbers in [0, end), [B, *shape]."""
        return torch.stack([torch.randint(end, shape, generator=generator) for generator in self.generators])

    def uniform_at(self, mask: Tensor, count: int) -> Tensor:
        """Return `count` numbers in [0, 1) for each true token of `mask` [B, N], in its order: [M, count] float64."""
        parts = zip(mask.sum(1).tolist(), self.generators, strict=True)
        return torch.cat([torch.rand(n, count, generator=own, dtype=torch.float64) for n, own in parts])
