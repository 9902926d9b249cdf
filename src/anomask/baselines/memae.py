"""Memory-augmented auto-encoder: a slice is rebuilt from remembered pieces of normal slices alone."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anomask.baselines.ae import AE


class MemAE(AE):
    """The auto-encoder of `ae.py` with a memory between encoder and decoder.

    As published: soft addressing by cosine similarity, hard shrinkage, re-normalisation, squared error plus weighted
    entropy of the addresses, one query a place of the code (as in the paper's video experiments). Differences: MONAI's
    2-D encoder and decoder, fewer and narrower items, slices in [0, 1], the mean and not the sum of squares (as in the
    authors' code; that code leaves the cosine's norms out, the paper has them), and a smoothed residual as the map.

    Args:
        channels: of the encoder's steps; each halves the side.
        bottleneck: C, channels of the code and width of an item.
        items: M, size of the memory.
        shrink: addresses up to shrink / M are set to 0.
        entropy_weight: weight of the addresses' entropy, in nats.
        sigma: Gaussian smoothing of the signed residual, in pixels.
    """

    title = "MemAE"
    source = "Gong et al., ICCV 2019"

    def __init__(
        self, channels: list[int], bottleneck: int, items: int, shrink: float, entropy_weight: float, sigma: float
    ) -> None:
        super().__init__(channels, bottleneck, sigma)
        self.memory = Memory(items, bottleneck, shrink)
        self.entropy_weight = entropy_weight

    def reconstruct(self, image: Tensor) -> Tensor:
        """Decode what the memory gives for the code."""
        return self._remember(image)[0]

    def loss(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean squared reconstruction error plus the weighted entropy of the addresses."""
        rebuilt, address = self._remember(image)
        return F.mse_loss(rebuilt, image) + self.entropy_weight * entropy(address)

    def _remember(self, image: Tensor) -> tuple[Tensor, Tensor]:
        code = self.network.encode(image)
        address = self.memory.address(code.movedim(1, -1))
        return self.network.decode(self.memory.read(address).movedim(-1, 1)), address


class Memory(nn.Module):
    """M learned items of width C, read by their likeness to a query (Gong et al. 2019, equations 3 to 7).

    Args:
        items: M.
        width: C.
        shrink: addresses up to shrink / M are set to 0. At most 1 leaves every query an item: the largest of M
            addresses that sum to 1 is at least 1 / M. Above it a query unlike all items reads zeros and learns nothing.
    """

    def __init__(self, items: int, width: int, shrink: float) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(width)
        self.items = nn.Parameter(torch.empty(items, width).uniform_(-bound, bound))  # the authors' code's start
        self.limit = shrink / items

    def address(self, query: Tensor) -> Tensor:
        """Return addresses [..., M], sparse, >= 0, of sum 1, for queries [..., C]."""
        similarity = F.normalize(query, dim=-1) @ F.normalize(self.items, dim=-1).t()
        return F.normalize(F.hardshrink(similarity.softmax(-1), self.limit), p=1.0, dim=-1)

    def read(self, address: Tensor) -> Tensor:
        """Return the mixtures [..., C] of items that addresses [..., M] stand for."""
        return address @ self.items


def entropy(address: Tensor) -> Tensor:
    """Return the mean entropy, in nats, of addresses [..., M]; finite gradients where an address is 0."""
    return -(address * (address + 1e-12).log()).sum(-1).mean()
