"""What the methods share that rebuild a slice: their map is the smoothed residual."""

import torch
from torch import Tensor

from anomask.baselines.method import Baseline
from anomask.scoring.anomaly_map import smooth


class Reconstruction(Baseline):
    """A method that rebuilds slices as if they were normal; a subclass gives `reconstruct`.

    Args:
        sigma: Gaussian smoothing of the signed residual, in pixels.
    """

    family = "reconstruction"

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def reconstruct(self, image: Tensor) -> Tensor:
        """Return the reconstruction [B, 1, S, S] of slices [B, 1, S, S]."""
        raise NotImplementedError

    @torch.no_grad()
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the absolute value of the smoothed residual."""
        return smooth(image - self.reconstruct(image), self.sigma).abs()
