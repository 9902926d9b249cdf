"""The authors' released token weights, for the table "release against corrected" alone."""

import torch
from torch import Tensor

from anomask.losses.neighbourhood import NeighbourhoodLoss, window_statistics


class ReleaseLoss(NeighbourhoodLoss):
    """The neighbourhood loss with a signed mean (D6): some weights are negative and reward a wrong answer."""

    def token_weights(self, residual: Tensor, mask: Tensor, stride: int) -> Tensor:
        """Return w, [B, N] <= 1, possibly negative; scaled by the largest of each image's corrupted tokens."""
        residual = residual.detach().float()
        variance, mean = window_statistics(residual, stride, signed=True)
        tiny = torch.finfo(variance.dtype).tiny
        raw = variance / variance.norm(dim=1, keepdim=True).clamp(min=tiny)
        raw = raw + mean / mean.norm(dim=1, keepdim=True).clamp(min=tiny)
        largest = raw.abs().masked_fill(~mask, 0.0).amax(1, keepdim=True)
        return (raw / largest.clamp(min=tiny)).clamp(max=1.0)
