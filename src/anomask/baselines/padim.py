"""PaDiM: a Gaussian of ImageNet features at every position."""

from collections.abc import Iterable

import torch
from torch import Tensor

from anomask.baselines.features import ImageNetFeatures, concatenate
from anomask.baselines.method import Baseline
from anomask.errors import ConfigError, DataError

POSITIONS = 512  # whose covariances are factorised at once


class PaDiM(Baseline):
    """Mahalanobis distance of each position's features to those of the training normals at the same position.

    As published: maps of three strides joined at the finest by nearest neighbours, a random subset of channels, a
    regularised covariance for each position, bilinear enlargement, Gaussian smoothing. Not as published: the backbone
    (ResNet-18, Wide-ResNet-50-2 or EfficientNet-B5 there), the slice score (there the map's maximum; here the score
    rule of all methods), and the moments are gathered batch by batch.

    Memory: positions x kept^2 x 4 bytes for the whitening matrices, which are also in the checkpoint (64^2 positions
    and 100 channels: 164 MB), and about twice that while they are fitted; not dependent on the number of slices.

    Args:
        features: frozen, finest stride first.
        kept: channels drawn at random.
        epsilon: added to the covariances' diagonals.
        sigma: Gaussian smoothing, in pixels of the resized slice.
        seed: of the draw.

    Raises:
        ConfigError: fewer channels than are to be kept.
    """

    title = "PaDiM"
    family = "feature"
    source = "Defard et al., ICPR Workshops 2021"
    frozen = ("features",)

    def __init__(self, features: ImageNetFeatures, kept: int, epsilon: float, sigma: float, seed: int) -> None:
        super().__init__()
        available = sum(features.channels)
        if not 0 < kept <= available:
            raise ConfigError(f"baseline.kept is {kept}; keep 1 to {available}, which is what the features have.")
        self.features, self.epsilon, self.sigma = features, epsilon, sigma
        drawn = torch.randperm(available, generator=torch.Generator().manual_seed(seed))[:kept]
        self.register_buffer("drawn", drawn.sort().values)
        self.register_buffer("mean", torch.empty(0))  # [P, kept]
        self.register_buffer("whitening", torch.empty(0))  # [P, kept, kept], inverse Cholesky factor of the covariance

    def embed(self, image: Tensor) -> Tensor:
        """Return features [P, B, kept] of the P positions of slices [B, 1, S, S]."""
        joined = concatenate(self.features(image), "nearest")[:, self.drawn]
        return joined.flatten(2).permute(2, 0, 1).contiguous()

    @torch.no_grad()
    def fit(self, normals: Iterable[Tensor]) -> None:
        """Gather mean and covariance of every position (Chan et al. 1979: stable, one pass).

        Raises:
            DataError: fewer than two slices.
        """
        count, mean, scatter = 0, torch.zeros(()), torch.zeros(())
        for image in normals:
            found = self.embed(image)
            own, new = found.mean(1), found.shape[1]
            centred, shift = found - own[:, None], own - mean.to(own)
            weight = count * new / (count + new)
            if not count:
                scatter = centred.mT @ centred
            else:
                scatter.baddbmm_(centred.mT, centred)
                scatter.baddbmm_(shift[:, :, None], shift[:, None] * weight)
            mean, count = mean.to(own) + shift * new / (count + new), count + new
        if count < 2:
            raise DataError(f"PaDiM got {count} training normals; a covariance needs at least 2. Add slices.")
        self.mean, self.whitening = mean, self._whiten_(scatter, count)

    @torch.no_grad()
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the smoothed Mahalanobis distances."""
        centred = self.embed(image) - self.mean[:, None]
        distances = torch.linalg.vector_norm(centred @ self.whitening.mT, dim=-1)  # [P, B]
        return self.features.anomaly_map(distances.T.unflatten(1, self.features.grid), image.shape[-1], self.sigma)

    def _whiten_(self, scatter: Tensor, count: int) -> Tensor:
        # In place and by parts: the matrices are most of this method's memory.
        unit = torch.eye(scatter.shape[-1], device=scatter.device)
        for part in scatter.split(POSITIONS):
            factor = torch.linalg.cholesky(part / (count - 1) + self.epsilon * unit)
            part.copy_(torch.linalg.solve_triangular(factor, unit, upper=False))
        return scatter
