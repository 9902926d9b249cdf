"""The codebook's own residual: what stage 1 alone localises."""

import torch
from torch import Tensor

from anomask.baselines.method import Baseline
from anomask.models.vqvae import VQVAE
from anomask.scoring.anomaly_map import smooth


class VQVAEResidual(Baseline):
    """|x - G(Q)| of a trained codebook run; nothing is learned.

    Args:
        vqvae: stage 1's model.
        sigma: Gaussian smoothing of the signed residual, in pixels.
    """

    title = "VQ-VAE residual"
    family = "reconstruction"
    source = "van den Oord et al., NeurIPS 2017"
    frozen = ("vqvae",)

    def __init__(self, vqvae: VQVAE, sigma: float) -> None:
        super().__init__()
        self.vqvae, self.sigma = vqvae, sigma

    @torch.no_grad()
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the absolute value of the smoothed residual."""
        reconstructed, _, _ = self.vqvae(image)
        return smooth(image - reconstructed, self.sigma).abs()
