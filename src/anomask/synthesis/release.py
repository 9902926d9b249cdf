"""What the authors' released code does where it departs from the method; for its ablations alone.

Identifiers D1 ... D9 are those of the method's specification. Nothing outside `synthesiser=release`, `loss=release` and
`ablation=release*` imports this module's functions; the default path has none of this behaviour.
"""

import torch
from torch import Tensor

from anomask.synthesis.draws import SliceDraws
from anomask.synthesis.salience import (
    channel_variance,
    leave_one_out_entropy,
    orthogonal_columns,
    per_image_minmax,
)


def release_projection(
    tokens: Tensor, dimensions: int, reshape_eigenvectors: bool, view_projection: bool, centre: bool
) -> Tensor:
    """Project tokens on what the release takes for their principal directions.

    Args:
        tokens: Z, [B, N, C].
        dimensions: d.
        reshape_eigenvectors: D1, rows of the eigenvector matrix are taken where its columns are meant.
        view_projection: D2, the memory of [B, N, d] is read as [B, d, N].
        centre: whether the projected tokens are centred; the release does not (D3).

    Returns:
        [B, N, d]
    """
    batch, n_tokens, _ = tokens.shape
    centred = tokens - tokens.mean(1, keepdim=True)
    vectors = torch.linalg.eigh(centred.transpose(1, 2) @ centred).eigenvectors.flip(2)  # columns, falling variance
    directions = vectors[:, :dimensions] if reshape_eigenvectors else vectors.transpose(1, 2)[:, :dimensions]
    projected = (centred if centre else tokens) @ directions.transpose(1, 2)
    if view_projection:
        projected = projected.contiguous().view(batch, dimensions, n_tokens).transpose(1, 2)
    return projected


def release_salience(
    tokens: Tensor,
    *,
    dimensions: int,
    entropy_weight: float,
    variance_weight: float,
    reshape_eigenvectors: bool,
    view_projection: bool,
    centre: bool,
) -> Tensor:
    """Return the release's salience [B, N] >= 0; see `release_projection` and `token_salience`."""
    tokens = tokens.float()
    projected = release_projection(tokens, dimensions, reshape_eigenvectors, view_projection, centre)
    entropy = per_image_minmax(leave_one_out_entropy(orthogonal_columns(projected)))
    return entropy_weight * entropy + variance_weight * per_image_minmax(channel_variance(tokens))


def release_draw(
    latent: Tensor,
    codes: Tensor,
    mask: Tensor,
    codebook: Tensor,
    draws: SliceDraws,
    *,
    neighbours: int,
) -> Tensor:
    """Draw codes with scrambled queries (D5); a token may keep its own code and is still called anomalous (D9).

    The channel-first memory of the batch is read as token rows, and token n of every image asks with row n of the first
    image. Arguments as in `anomask.synthesis.replacement`.

    Returns:
        [B, N] int64
    """
    width = latent.shape[2]
    rows = latent.transpose(1, 2).contiguous().view(-1, width)  # [B, C, h, w] memory cut into rows of C numbers
    image, token = mask.nonzero(as_tuple=True)
    distance = torch.addmm(codebook.square().sum(1), rows[token], codebook.t(), alpha=-2.0)
    near = distance.topk(neighbours, dim=1, largest=False).indices  # [R, k]
    counts = mask.sum(1)
    keys = draws.uniform_at(mask, near.shape[1]).to(near.device)
    shuffled = near.flatten()[(keys + image[:, None]).flatten().argsort()]
    start = counts.cumsum(0) - counts
    place = torch.arange(len(near), device=near.device) - start[image]
    new = codes.clone()
    new[mask] = shuffled[start[image] * neighbours + place]
    return new
