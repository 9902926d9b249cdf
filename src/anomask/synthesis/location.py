"""Where to corrupt: each function picks tokens; a new one needs a YAML file in conf/synthesiser/location.

All share the signature ``(features, allowed, share, draws) -> mask``: `features` is a `FrozenFeatures`, `allowed`
[B, N] bool bounds the choice (a lung mask, say), `share` is r, `draws` is a `SliceDraws`, and the mask is [B, N] bool
with M = round(r * N) true tokens an image, or all allowed ones where there are fewer.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from anomask.batches import FrozenFeatures
from anomask.synthesis.draws import SliceDraws
from anomask.synthesis.salience import per_image_minmax


def top_tokens(values: Tensor, allowed: Tensor, counts: Tensor) -> Tensor:
    """Mark the tokens of highest value.

    Args:
        values: [B, N]
        allowed: [B, N] bool, tokens that may be marked.
        counts: [B] int64, how many to mark in each image.

    Returns:
        [B, N] bool
    """
    order = values.masked_fill(~allowed, -torch.inf).argsort(dim=1, descending=True, stable=True)
    wanted = torch.arange(values.shape[1], device=values.device) < counts[:, None]
    return torch.zeros_like(allowed).scatter_(1, order, wanted) & allowed


def salience(features: FrozenFeatures, allowed: Tensor, share: float, draws: SliceDraws) -> Tensor:
    """Pick the most salient tokens (the paper's choice); draws nothing."""
    return top_tokens(features.salience, allowed, _counts(allowed, share))


def residual(features: FrozenFeatures, allowed: Tensor, share: float, draws: SliceDraws) -> Tensor:
    """Pick the tokens that the codebook reconstructs worst (the abstract's second source); draws nothing."""
    return top_tokens(features.residual, allowed, _counts(allowed, share))


def salience_and_residual(features: FrozenFeatures, allowed: Tensor, share: float, draws: SliceDraws) -> Tensor:
    """Pick by the sum of salience and residual, each scaled to [0, 1] per image; draws nothing."""
    both = per_image_minmax(features.salience) + per_image_minmax(features.residual)
    return top_tokens(both, allowed, _counts(allowed, share))


def random(features: FrozenFeatures, allowed: Tensor, share: float, draws: SliceDraws) -> Tensor:
    """Pick tokens uniformly at random."""
    values = draws.uniform(allowed.shape[1]).to(allowed.device)
    return top_tokens(values, allowed, _counts(allowed, share))


def blobs(
    features: FrozenFeatures,
    allowed: Tensor,
    share: float,
    draws: SliceDraws,
    *,
    smallest_share: float,
    most_regions: int,
    roughness: float,
) -> Tensor:
    """Pick connected regions at random places, of several sizes.

    Args:
        smallest_share: sizes are log-uniform between this share of N and `share`.
        most_regions: 1 to this many regions an image, uniformly.
        roughness: 0 gives discs; 1 lets smooth noise of the regions' own scale shape them.
    """
    batch, n_tokens = allowed.shape
    side = math.isqrt(n_tokens)
    place = torch.arange(n_tokens)
    grid = torch.stack([place // side, place % side], dim=1) / side  # [N, 2]
    # Centres fall on allowed tokens; an image without any gets an empty mask from `top_tokens`.
    reached = (allowed.cpu().float() + torch.finfo(torch.float32).tiny).cumsum(1)
    picked = torch.searchsorted(reached, draws.uniform(most_regions) * reached[:, -1:], right=True)
    centres = grid[picked.clamp(max=n_tokens - 1)]
    used = 1 + draws.whole(most_regions, 1)
    distance = torch.cdist(grid.expand(batch, -1, -1), centres)  # [B, N, regions]
    distance = distance.masked_fill((torch.arange(most_regions) >= used)[:, None], torch.inf).amin(2)
    noise = draws.normal(1, side // 4 + 2, side // 4 + 2)
    noise = F.interpolate(noise, (side, side), mode="bicubic").flatten(1)
    span = draws.uniform()
    sizes = torch.exp(math.log(smallest_share) + span * (math.log(share) - math.log(smallest_share)))
    radius = (sizes / math.pi).sqrt()[:, None]
    values = (-distance + roughness * radius * noise).to(allowed.device)
    return top_tokens(values, allowed, (sizes * n_tokens).round().clamp(min=1).long().to(allowed.device))


def _counts(allowed: Tensor, share: float) -> Tensor:
    return torch.full((len(allowed),), round(share * allowed.shape[1]), device=allowed.device)
