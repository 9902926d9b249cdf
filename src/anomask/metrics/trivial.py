"""Floors: what a slice's brightness and sharpness alone would score. A model that does not beat them shows nothing."""

import numpy as np
import torch
import torch.nn.functional as F
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
