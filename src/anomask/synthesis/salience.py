"""How salient each token is: channel variance and representation entropy (METHOD.md section 3)."""

import torch
from torch import Tensor


def per_image_minmax(values: Tensor) -> Tensor:
    """Rescale [B, N] to [0, 1] per image; an image whose tokens are all equal gives zeros."""
    low, high = values.aminmax(dim=1, keepdim=True)
    return (values - low) / (high - low).clamp(min=torch.finfo(values.dtype).tiny)


def channel_variance(tokens: Tensor) -> Tensor:
    """Return the variance over the channels of each token [B, N, C]: [B, N]."""
    centred = tokens - tokens.mean(2, keepdim=True)
    # One fused product: `Tensor.var` over the last axis is seven times slower on a CPU.
    return torch.linalg.vecdot(centred, centred) / (tokens.shape[2] - 1)


def spectral_entropy(eigenvalues: Tensor) -> Tensor:
    """Return H = -sum p ln p over the last axis with p the eigenvalues' shares; 0 where all are 0."""
    eigenvalues = eigenvalues.clamp(min=0.0)
    total = eigenvalues.sum(-1, keepdim=True)
    return torch.special.entr(eigenvalues / total.clamp(min=torch.finfo(total.dtype).tiny)).sum(-1)


def principal_projection(tokens: Tensor, dimensions: int, oversampling: int, iterations: int) -> Tensor:
    """Project each image's centred tokens on its own top principal directions.

    Subspace iteration with `oversampling` extra directions: a few thin products instead of a C x C eigen-solve.

    Args:
        tokens: [B, N, C]
        dimensions: d, at most min(N, C).

    Returns:
        [B, N, d]; columns are orthogonal over the tokens, in order of falling variance.
    """
    n_tokens, width = tokens.shape[1:]
    kept = min(dimensions + oversampling, width, n_tokens)
    centred = tokens - tokens.mean(1, keepdim=True)
    # A fixed cosine start: every image gets the same one, so a batch of one equals the image in a batch.
    place = torch.arange(width, device=tokens.device, dtype=tokens.dtype)[:, None] + 0.5
    start = torch.cos(place * torch.arange(1, kept + 1, device=tokens.device) * torch.pi / width)
    basis = start.expand(len(tokens), width, kept)
    for _ in range(iterations):
        basis = torch.linalg.qr(centred.transpose(1, 2) @ (centred @ basis)).Q
    projected = centred @ basis
    rotation = torch.linalg.eigh(projected.transpose(1, 2) @ projected).eigenvectors
    return (projected @ rotation).flip(2)[..., :dimensions]


def leave_one_out_entropy(projected: Tensor) -> Tensor:
    """Return how much the representation's entropy changes without each token, in closed form.

    With A = YtY / N the covariance without token n is proportional to A - y yt / (N - 1), the shift of the mean
    included, and the factor cancels in the entropy: one batched eigen-solve of d x d replaces N of N x d.

    Args:
        projected: Y, [B, N, d], columns centred over the tokens.

    Returns:
        |H(A) - H(A without n)|, [B, N] >= 0
    """
    n_tokens = projected.shape[1]
    covariance = projected.transpose(1, 2) @ projected / n_tokens  # [B, d, d]
    outer = projected[..., :, None] * projected[..., None, :]  # [B, N, d, d]
    without = covariance[:, None] - outer / (n_tokens - 1)
    whole = spectral_entropy(torch.linalg.eigvalsh(covariance))
    return (spectral_entropy(torch.linalg.eigvalsh(without)) - whole[:, None]).abs()


def entropy_change(tokens: Tensor, dimensions: int, oversampling: int = 8, iterations: int = 4) -> Tensor:
    """Return the leave-one-out entropy change [B, N] of tokens [B, N, C] on their top `dimensions` directions."""
    return leave_one_out_entropy(principal_projection(tokens, dimensions, oversampling, iterations))


def token_salience(tokens: Tensor, dimensions: int, entropy_weight: float, variance_weight: float) -> Tensor:
    """Return S = alpha * entropy + variance, each min-max scaled per image (METHOD.md section 3).

    Args:
        tokens: Z, [B, N, C].
        dimensions: d, directions kept for the entropy.
        entropy_weight: alpha; 0 leaves the entropy out and saves its cost.
        variance_weight: weight of the variance term; 0 leaves it out.

    Returns:
        [B, N] >= 0
    """
    salience = torch.zeros(tokens.shape[:2], device=tokens.device)
    with torch.autocast(tokens.device.type, enabled=False):  # eigenvalues of half-precision products mean nothing
        tokens = tokens.float()
        if variance_weight:
            salience = salience + variance_weight * per_image_minmax(channel_variance(tokens))
        if entropy_weight:
            salience = salience + entropy_weight * per_image_minmax(entropy_change(tokens, dimensions))
    return salience
