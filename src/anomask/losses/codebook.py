"""Stage 1's loss: reconstruction and commitment (method.md section 2)."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class CodebookLosses(NamedTuple):
    """Stage 1's loss and its parts, each a scalar."""

    total: Tensor
    reconstruction: Tensor
    commitment: Tensor


class CodebookLoss:
    """Weighted MSE(G(q), x) + beta * mean |z - sg(q)|^2.

    Args:
        reconstruction: weight of the reconstruction error.
        commitment: beta.
    """

    def __init__(self, reconstruction: float, commitment: float) -> None:
        self.reconstruction, self.commitment = reconstruction, commitment

    def __call__(self, image: Tensor, reconstructed: Tensor, tokens: Tensor, quantised: Tensor) -> CodebookLosses:
        """Compare slices [B, 1, S, S] with their reconstruction, and tokens [B, N, C] with their codes."""
        reconstruction = F.mse_loss(reconstructed, image)
        commitment = F.mse_loss(tokens, quantised.detach())
        total = self.reconstruction * reconstruction + self.commitment * commitment
        return CodebookLosses(total, reconstruction, commitment)
