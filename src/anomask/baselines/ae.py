"""Auto-encoder: MONAI's convolutional network; what it cannot rebuild is anomalous."""

import torch
import torch.nn.functional as F
from monai.networks.nets import AutoEncoder
from torch import Tensor

from anomask.baselines.method import Baseline
from anomask.scoring.anomaly_map import smooth


class AE(Baseline):
    """Auto-encoder on whole slices, L2 loss.

    Args:
        channels: of the encoder's steps; each halves the side.
        bottleneck: channels of the code; the spatial code is S / 2^len(channels) a side.
        sigma: Gaussian smoothing of the signed residual, in pixels.
    """

    title = "AE"
    family = "reconstruction"
    source = "Baur et al., Medical Image Analysis 2021"

    def __init__(self, channels: list[int], bottleneck: int, sigma: float) -> None:
        super().__init__()
        widths = [*channels, bottleneck]
        self.network = AutoEncoder(2, 1, 1, widths, [2] * len(channels) + [1], norm="batch")
        self.sigma = sigma

    def loss(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean squared reconstruction error."""
        return F.mse_loss(self.network(image), image)

    @torch.no_grad()
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the absolute value of the smoothed residual."""
        return smooth(image - self.network(image), self.sigma).abs()
