"""Auto-encoder: MONAI's convolutional network; what it cannot rebuild is anomalous."""

import torch
import torch.nn.functional as F
from monai.networks.nets import AutoEncoder
from torch import Tensor

from anomask.baselines.reconstruction import Reconstruction


class AE(Reconstruction):
    """Auto-encoder on whole slices, L2 loss.

    Args:
        channels: of the encoder's steps; each halves the side.
        bottleneck: channels of the code; the spatial code is S / 2^len(channels) a side.
        sigma: Gaussian smoothing of the signed residual, in pixels.
    """

    title = "AE"
    source = "Baur et al., Medical Image Analysis 2021"

    def __init__(self, channels: list[int], bottleneck: int, sigma: float) -> None:
        super().__init__(sigma)
        widths = [*channels, bottleneck]
        self.network = AutoEncoder(2, 1, 1, widths, [2] * len(channels) + [1], norm="batch")

    def reconstruct(self, image: Tensor) -> Tensor:
        """Encode and decode."""
        return self.network(image)

    def loss(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean squared reconstruction error."""
        return F.mse_loss(self.reconstruct(image), image)
