"""PatchCore: distance to the nearest of a few thousand normal patches in ImageNet feature space."""

from collections.abc import Iterable

import torch
from torch import Tensor
from tqdm import trange

from anomask.baselines.features import ImageNetFeatures, patch_features
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
        # Slice by slice: a batch's distances to the whole bank would be its largest tensor by far.
        nearest = torch.stack([torch.cdist(own, self.bank).amin(1) for own in self.embed(image)])
        return self.features.anomaly_map(nearest.unflatten(1, self.features.grid), image.shape[-1], self.sigma)


def k_centres(points: Tensor, count: int, first: int) -> Tensor:
    """Choose rows greedily, each the farthest from those chosen before.

    Args:
        points: [N, D].
        count: how many; all rows are returned where there are fewer.
        first: the row to start with.

    Returns:
        [count] int64
    """
    if count >= len(points):
        return torch.arange(len(points), device=points.device)
    # Squared distance to p is |x|^2 - 2 x.p + |p|^2: one matrix-vector product a step.
    squares = points.square().sum(1)
    chosen = torch.empty(count, dtype=torch.int64, device=points.device)
    nearest = torch.full_like(squares, torch.inf)
    row = torch.tensor(first, device=points.device)
    for step in trange(count, desc="coreset", unit="patch", disable=None):
        chosen[step] = row
        away = torch.addmv(squares + squares[row], points, points[row], alpha=-2)
        nearest = torch.minimum(nearest, away)
        nearest[row] = -torch.inf  # never again, not even where the rest are copies of it
        row = nearest.argmax()
    return chosen
