"""Floors: what a slice's brightness and sharpness alone would score. A model that does not beat them shows nothing."""

from collections.abc import Iterable
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

FEATURES = ("mean", "std", "laplacian_std")


def trivial_features(image: Tensor) -> Tensor:
    """Return mean, standard deviation and Laplacian standard deviation of slices [B, 1, H, W]: [B, 3]."""
    kernel = image.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]).view(1, 1, 3, 3)
    laplacian = F.conv2d(image, kernel)
    flat = image.flatten(1)
    return torch.stack([flat.mean(1), flat.std(1), laplacian.flatten(1).std(1)], dim=1)


def nearest_normal_distance(features: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return the distance of each row to the nearest training normal, features standardised by the normals: [n].

    Args:
        features: [n, 3]
        normals: [m, 3], features of training normals.
    """
    centre, scale = normals.mean(0), normals.std(0) + 1e-12
    scaled, reference = (features - centre) / scale, (normals - centre) / scale
    return np.sqrt(((scaled[:, None] - reference) ** 2).sum(2).min(1))


class PixelFloors:
    """Maps that need no model: what brightness, or distance from the average normal slice, localises by itself.

    Args:
        normals: batches of training normals, [B, 1, S, S] in [0, 1].
        sigma: Gaussian smoothing of each map, in pixels.
    """

    NAMES = ("smoothed intensity", "distance to mean slice", "z-score")

    def __init__(self, normals: Iterable[Tensor], sigma: float = 2.0) -> None:
        count, total, squares = 0, 0.0, 0.0
        for image in normals:
            values = image.double()
            count, total, squares = count + len(image), total + values.sum(0), squares + values.square().sum(0)
        self.mean = total / count
        # One grey level at least: a pixel that is constant over the normals would divide by nothing.
        self.std = (squares / count - self.mean.square()).clamp(min=0.0).sqrt().clamp(min=1 / 255)
        self.sigma = sigma

    @classmethod
    def of(cls, mean: Tensor, std: Tensor, sigma: float = 2.0) -> Self:
        """Return the maps of normals whose mean and standard deviation [1, S, S] are known already."""
        floors = cls.__new__(cls)
        floors.mean, floors.std, floors.sigma = mean, std, sigma
        return floors

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Return the maps of slices [B, 1, S, S], name -> [B, 1, S, S] >= 0."""
        away = (image - self.mean).abs()
        return dict(zip(self.NAMES, map(self._smooth, (image, away, away / self.std)), strict=True))

    def _smooth(self, values: Tensor) -> Tensor:
        smoothed = ndimage.gaussian_filter(values.double().numpy(), (0, 0, self.sigma, self.sigma))
        return torch.from_numpy(smoothed).float().clamp(min=0.0)
