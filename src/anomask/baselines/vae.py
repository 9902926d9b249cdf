"""Variational auto-encoder: MONAI's network with one dense code a slice."""

import torch
import torch.nn.functional as F
from monai.networks.nets import VarAutoEncoder
from torch import Tensor

from anomask.baselines.reconstruction import Reconstruction


class VAE(Reconstruction):
    """Variational auto-encoder on whole slices; the reconstruction is decoded from the posterior's mean.

    As in the authors' code: four halvings, the reduction to `bottleneck` channels, a dense Gaussian code, absolute
    error summed over pixels plus KL divergence. Differences: MONAI's layers (3 x 3 kernels, PReLU, a sigmoid at the
    end, no dropout), a weight of the KL divergence, and a smoothed residual as the only post-processing.

    Args:
        size: S, side of the slices in pixels.
        channels: of the encoder's steps; each halves the side.
        bottleneck: channels before the dense code.
        latent: width of the code.
        kl_weight: weight of the KL divergence, in nats a slice, against the absolute error summed over its pixels.
        sigma: Gaussian smoothing of the signed residual, in pixels.
    """

    title = "VAE"
    source = "Baur et al., Medical Image Analysis 2021"

    def __init__(
        self, size: int, channels: list[int], bottleneck: int, latent: int, kl_weight: float, sigma: float
    ) -> None:
        super().__init__(sigma)
        widths, strides = [*channels, bottleneck], [2] * len(channels) + [1]
        self.network = VarAutoEncoder(2, (1, size, size), 1, latent, widths, strides, norm="batch")
        self.kl_weight = kl_weight

    def reconstruct(self, image: Tensor) -> Tensor:
        """Decode the mean of the posterior."""
        return self.network.decode_forward(self.network.encode_forward(image)[0])

    def loss(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return the negative evidence bound with one draw of the code, per pixel so that it does not grow with S."""
        mean, log_variance = self.network.encode_forward(image)
        noise = torch.randn(mean.shape, generator=generator).to(mean)  # MONAI's own draw has no generator
        rebuilt = self.network.decode_forward(mean + noise * (0.5 * log_variance).exp())
        return F.l1_loss(rebuilt, image) + self.kl_weight * kl_divergence(mean, log_variance) / image[0].numel()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, 1)) in nats, summed over the code [B, Z] and averaged over the batch."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).sum(1).mean()
