"""PatchCore: distance to the nearest of a few thousand normal patches in ImageNet feature space."""

from collections.abc import Iterable

import torch
from torch import Tensor

from anomask.baselines.features import ImageNetFeatures, patch_features
from anomask.baselines.memory import k_centres, nearest_distance
from anomask.baselines.method import Baseline


class PatchCore(Baseline):
    """Nearest-neighbour distance of each patch to a coreset of the training normals' patches.

    As published: locally aware patch features (3 x 3 means, strides 8 and 16 joined at the finer), a greedy k-centre
    coreset found in a random projection, bilinear enlargement, Gaussian smoothing. Not as published: the backbone
    (Wide-ResNet-50-2 there) and its channels, all kept (there pooled to 1024); a coreset of fixed size (there 1, 10 or
    25 % of the patches); one random first patch (there the patch farthest from ten random ones); no reweighting of the
    slice score, because all methods of a table share one score rule.

    Memory while it is fitted: slices x positions x (channels + projected) x 4 bytes (for 32^2 positions, 152 channels
    and a projection to 128: 1.1 MB a slice).

    Args:
        features: frozen, finest stride first.
        memory: rows of the coreset; all patches are kept where there are fewer.
        projected: dimensions of the random projection.
        sigma: Gaussian smoothing, in pixels of the resized slice.
        seed: of the projection and of the first row.
    """

    title = "PatchCore"
    family = "feature"
    source = "Roth et al., CVPR 2022"
    frozen = ("features",)

    def __init__(self, features: ImageNetFeatures, memory: int, projected: int, sigma: float, seed: int) -> None:
        super().__init__()
        self.features, self.memory, self.projected = features, memory, projected
        self.sigma, self.seed = sigma, seed
        self.register_buffer("bank", torch.empty(0))  # [M, C]

    def embed(self, image: Tensor) -> Tensor:
        """Return patch features [B, N, C] of slices [B, 1, S, S]."""
        return patch_features(self.features(image)).flatten(2).mT.contiguous()

    @torch.no_grad()
    def fit(self, normals: Iterable[Tensor]) -> None:
        """Remember a coreset of all patches."""
        patches = torch.cat([self.embed(image).flatten(0, 1) for image in normals])
        generator = torch.Generator().manual_seed(self.seed)
        # Johnson-Lindenstrauss: a Gaussian projection keeps distances up to a few per cent of scatter.
        projection = torch.randn(patches.shape[1], self.projected, generator=generator) / self.projected**0.5
        first = int(torch.randint(len(patches), (), generator=generator))
        points = patches @ projection.to(patches)
        points -= points.mean(0)  # distances stay; their rounding errors shrink
        self.bank = patches[k_centres(points, self.memory, first)]

    @torch.no_grad()
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the smoothed distances to the nearest remembered patch."""
        nearest = nearest_distance(self.embed(image), self.bank)
        return self.features.anomaly_map(nearest.unflatten(1, self.features.grid), image.shape[-1], self.sigma)
