"""With what to corrupt: each function draws new codes; a new one needs a YAML file in conf/synthesiser/draw.

All share the signature ``(latent, codes, mask, codebook, draws) -> new codes``: `latent` [B, N, C] before quantisation,
`codes` [B, N] the current codes, `mask` [B, N] bool the tokens to corrupt, `codebook` [K, C], `draws` a `SliceDraws`;
the new codes [B, N] differ from the current ones exactly where the mask is true.
"""

import torch
from torch import Tensor

from anomask.errors import ConfigError
from anomask.synthesis.draws import SliceDraws


def candidates(
    queries: Tensor, own: Tensor, codebook: Tensor, neighbours: int | None, rank_min: float, rank_max: float
) -> Tensor:
    """Return the codes that may replace each token: its nearest ones inside a band of ranks.

    Args:
        queries: [R, C], tokens before quantisation.
        own: [R] int64, each token's current code, which is never a candidate.
        codebook: [K, C]
        neighbours: k, how many of the band's nearest codes are kept; None keeps the whole band.
        rank_min: start of the band as a share of K: 0.05 leaves out the nearest 5 %.
        rank_max: end of the band as a share of K.

    Returns:
        [R, k] int64, nearest first.

    Raises:
        ConfigError: the band holds no code.
    """
    n_codes = len(codebook)
    first, last = round(rank_min * n_codes), min(round(rank_max * n_codes), n_codes - 1)
    last = last if neighbours is None else min(last, first + neighbours)
    if last <= first:
        raise ConfigError(
            f"no code has a rank in [{rank_min}, {rank_max}) of {n_codes} codes (synthesiser.draw.rank_min, rank_max). "
            "Widen the band or enlarge the codebook."
        )
    distance = torch.addmm(codebook.square().sum(1), queries, codebook.t(), alpha=-2.0)
    distance.scatter_(1, own[:, None], torch.inf)
    return distance.topk(last, dim=1, largest=False).indices[:, first:]


def own(
    latent: Tensor,
    codes: Tensor,
    mask: Tensor,
    codebook: Tensor,
    draws: SliceDraws,
    *,
    neighbours: int | None,
    rank_min: float,
    rank_max: float,
) -> Tensor:
    """Give each token one of its own candidates, uniformly."""
    near = candidates(latent[mask], codes[mask], codebook, neighbours, rank_min, rank_max)
    new = codes.clone()
    new[mask] = near.gather(1, _uniform_index(near, mask, draws)).squeeze(1)
    return new


def pooled(
    latent: Tensor,
    codes: Tensor,
    mask: Tensor,
    codebook: Tensor,
    draws: SliceDraws,
    *,
    neighbours: int | None,
    rank_min: float,
    rank_max: float,
) -> Tensor:
    """Draw M of the image's M * k pooled candidates without replacement (what the authors' release means to do).

    A token that would draw its own current code takes one of its own candidates instead.
    """
    own_codes = codes[mask]
    near = candidates(latent[mask], own_codes, codebook, neighbours, rank_min, rank_max)  # [R, k]
    counts = mask.sum(1)
    image = torch.repeat_interleave(torch.arange(len(mask), device=mask.device), counts)  # [R]
    keys = draws.uniform_at(mask, near.shape[1]).to(near.device)
    # Sorting by image, then at random, shuffles every image's pool in one go; token j takes the pool's j-th entry.
    shuffled = near.flatten()[(keys + image[:, None]).flatten().argsort()]
    start = counts.cumsum(0) - counts
    place = torch.arange(len(near), device=near.device) - start[image]
    drawn = shuffled[start[image] * near.shape[1] + place]
    fallback = near.gather(1, _uniform_index(near, mask, draws)).squeeze(1)
    new = codes.clone()
    new[mask] = torch.where(drawn == own_codes, fallback, drawn)
    return new


def coherent(
    latent: Tensor,
    codes: Tensor,
    mask: Tensor,
    codebook: Tensor,
    draws: SliceDraws,
    *,
    neighbours: int | None,
    rank_min: float,
    rank_max: float,
) -> Tensor:
    """Shift a whole image's corrupted tokens towards one random code: each takes its candidate nearest to that code.

    Real lesions change neighbouring tokens alike, which independent draws do not.
    """
    near = candidates(latent[mask], codes[mask], codebook, neighbours, rank_min, rank_max)
    target = draws.whole(len(codebook)).to(mask.device)
    image = torch.repeat_interleave(torch.arange(len(mask), device=mask.device), mask.sum(1))
    between = torch.cdist(codebook[target], codebook)  # [B, K]
    best = between[image].gather(1, near).argmin(1, keepdim=True)
    new = codes.clone()
    new[mask] = near.gather(1, best).squeeze(1)
    return new


def _uniform_index(near: Tensor, mask: Tensor, draws: SliceDraws) -> Tensor:
    return (draws.uniform_at(mask, 1) * near.shape[1]).long().to(near.device)
