"""The codebook's own residual: what stage 1 alone localises."""

from torch import Tensor

from anomask.baselines.reconstruction import Reconstruction
from anomask.models.vqvae import VQVAE


class VQVAEResidual(Reconstruction):
    """|x - G(Q)| of a trained codebook run; nothing is learned.

    Args:
        vqvae: stage 1's model.
        sigma: Gaussian smoothing of the signed residual, in pixels.
    """

    title = "VQ-VAE residual"
    source = "van den Oord et al., NeurIPS 2017"
    frozen = ("vqvae",)

    def __init__(self, vqvae: VQVAE, sigma: float) -> None:
        super().__init__(sigma)
        self.vqvae = vqvae

    def reconstruct(self, image: Tensor) -> Tensor:
        """Encode, quantise and decode."""
        return self.vqvae(image)[0]
