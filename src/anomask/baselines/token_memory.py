"""A nearest-neighbour memory on the codebook's own tokens: what they detect with nothing learned on top."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from anomask.baselines.memory import k_centres, nearest_distance
from anomask.baselines.method import Baseline
from anomask.models.tokens import to_grid, to_tokens
from anomask.models.vqvae import VQVAE
from anomask.scoring.anomaly_map import smooth


class TokenMemory(Baseline):
    """Distance of each token to the nearest of a few thousand normal tokens, before quantisation.

    PatchCore with the frozen encoder of a codebook run in place of ImageNet features: 3 x 3 means of tokens, a greedy
    k-centre coreset (found in the tokens' own space, which is narrow), bilinear enlargement, Gaussian smoothing.

    Memory while it is fitted: slices x tokens x C x 4 bytes (for 256 tokens of width 128: 0.13 MB a slice).

    Args:
        vqvae: stage 1's model.
        memory: rows of the coreset; all tokens are kept where there are fewer.
        sigma: Gaussian smoothing, in pixels.
        seed: of the first row.
    """

    title = "Token memory"
    family = "feature"
    source = "after Roth et al., CVPR 2022, on the codebook's tokens"
    frozen = ("vqvae",)

    def __init__(self, vqvae: VQVAE, memory: int, sigma: float, seed: int) -> None:
        super().__init__()
        self.vqvae, self.memory, self.sigma, self.seed = vqvae, memory, sigma, seed
        self.register_buffer("bank", torch.empty(0))  # [M, C]

    @torch.no_grad()
    def embed(self, image: Tensor) -> Tensor:
        """Return 3 x 3 means of the tokens, [B, N, C], of slices [B, 1, S, S]."""
        grid = to_grid(self.vqvae.encode(image))
        return to_tokens(F.avg_pool2d(grid, 3, 1, 1, count_include_pad=False))

    def fit(self, normals: Iterable[Tensor]) -> None:
        """Remember a coreset of all tokens."""
        tokens = torch.cat([self.embed(image).flatten(0, 1) for image in normals])
        first = int(torch.randint(len(tokens), (), generator=torch.Generator().manual_seed(self.seed)))
        self.bank = tokens[k_centres(tokens - tokens.mean(0), self.memory, first)]

    @torch.no_grad()
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the smoothed distances to the nearest remembered token."""
        distance = to_grid(nearest_distance(self.embed(image), self.bank)[..., None])
        enlarged = F.interpolate(distance, image.shape[2:], mode="bilinear", align_corners=False)
        return smooth(enlarged, self.sigma)
