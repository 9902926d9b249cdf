"""How salient each token is: channel variance and representation entropy (method.md section 3)."""

import torch
from torch import Tensor

# Precision of the subspace iteration: scaled entropies to 0.002 where eigenvalues fall by 19 % a direction.
_OVERSAMPLING, _ITERATIONS = 8, 3
_FIRST_NODE, _LAST_NODE = -26, 20  # ln t of the quadrature, step 1: entropies to 2e-7


def per_image_minmax(values: Tensor) -> Tensor:
    """Rescale [B, N] to [0, 1] per image; an image whose tokens are all equal gives zeros."""
    low, high = values.aminmax(dim=1, keepdim=True)
    return (values - low) / (high - low).clamp(min=torch.finfo(values.dtype).tiny)


def channel_variance(tokens: Tensor) -> Tensor:
    """Return the variance over the channels of each token [B, N, C]: [B, N]."""
    width = tokens.shape[2]
    # Two reductions and no copy of the tokens: `Tensor.var` over the last axis is ten times slower on a CPU.
    spread = torch.linalg.vector_norm(tokens, dim=2).square() - width * tokens.mean(2).square()
    return spread.clamp(min=0.0) / (width - 1)


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
    # A fixed cosine start: every image gets the same one, so a batch of one equals the image in a batch.
    place = torch.arange(width, device=tokens.device, dtype=tokens.dtype)[:, None] + 0.5
    start = torch.cos(place * torch.arange(1, kept + 1, device=tokens.device) * torch.pi / width)
    basis = start.expand(len(tokens), width, kept)
    for _ in range(iterations):
        basis = torch.linalg.qr(tokens.transpose(1, 2) @ _centred(tokens @ basis)).Q
    projected = _centred(tokens @ basis)
    return orthogonal_columns(projected)[..., :dimensions]


def orthogonal_columns(projected: Tensor) -> Tensor:
    """Rotate [B, N, k] so that its columns are orthogonal over the tokens, in order of falling variance."""
    rotation = torch.linalg.eigh(projected.transpose(1, 2) @ projected).eigenvectors
    return (projected @ rotation).flip(2)


def _centred(projected: Tensor) -> Tensor:
    """Centre [B, N, k] over the tokens: centring the thin product instead of the tokens saves a copy of them."""
    return projected - projected.mean(1, keepdim=True)


def leave_one_out_entropy(projected: Tensor) -> Tensor:
    """Return how much the representation's entropy changes without each token, in closed form.

    With D = YtY / N the covariance without token n is proportional to D - u ut, u = y_n / sqrt(N - 1), the shift of
    the mean included, and the factor cancels in the entropy. D is diagonal, so the change of trace(x ln x) is an
    integral over the change of the resolvent's trace, which a rank-one update gives in closed form. The trapezoid rule
    in ln t converges exponentially: no eigen-solve at all.

    Args:
        projected: Y, [B, N, d], columns orthogonal over the tokens (`principal_projection`, `orthogonal_columns`).

    Returns:
        |H(D) - H(D without n)|, [B, N] >= 0
    """
    n_tokens = projected.shape[1]
    squares = projected.square()
    total = squares.sum((1, 2), keepdim=True).clamp(min=torch.finfo(projected.dtype).tiny)
    eigenvalues = squares.sum(1) / total[:, 0]  # [B, d], they sum to 1
    squares = squares * (n_tokens / (n_tokens - 1) / total)  # u^2, [B, N, d]
    nodes = torch.arange(_FIRST_NODE, _LAST_NODE, device=projected.device, dtype=projected.dtype).exp()  # t, [T]
    resolvent = (eigenvalues[..., None] + nodes).reciprocal()  # [B, d, T]
    first, second = squares @ resolvent, squares @ resolvent.square()  # [B, N, T]
    removed = squares.sum(2)  # what the trace loses
    remaining = torch.maximum(1 - first, nodes / (1 + nodes))  # its least value: D - u ut is never negative
    change = ((nodes * second / remaining - removed[..., None] / (1 + nodes)) * nodes).sum(2)
    whole = torch.special.entr(eigenvalues).sum(1, keepdim=True)
    rest = 1 - removed
    alone = rest < n_tokens * torch.finfo(projected.dtype).eps  # one token is all the variance; nothing is left
    return torch.where(alone, whole, (rest.log() - (change - whole * removed) / rest).abs())


def entropy_change(tokens: Tensor, dimensions: int) -> Tensor:
    """Return the leave-one-out entropy change [B, N] of tokens [B, N, C] on their top `dimensions` directions."""
    return leave_one_out_entropy(principal_projection(tokens, dimensions, _OVERSAMPLING, _ITERATIONS))


def token_salience(tokens: Tensor, dimensions: int, entropy_weight: float, variance_weight: float) -> Tensor:
    """Return S = alpha * entropy + variance, each min-max scaled per image (method.md section 3).

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
