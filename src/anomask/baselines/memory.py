"""A memory of normal patches: which ones are kept, and how far a patch is from the nearest."""

import torch
from torch import Tensor

from anomask.progress import bar


def nearest_distance(patches: Tensor, bank: Tensor) -> Tensor:
    """Return the distance of patches [B, N, C] to the nearest row of `bank` [M, C]: [B, N]."""
    # Slice by slice: a batch's distances to the whole bank would be its largest tensor by far.
    return torch.stack([torch.cdist(own, bank).amin(1) for own in patches])


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
    for step in bar(range(count), "coreset", "patch"):
        chosen[step] = row
        away = torch.addmv(squares + squares[row], points, points[row], alpha=-2)
        nearest = torch.minimum(nearest, away)
        nearest[row] = -torch.inf  # never again, not even where the rest are copies of it
        row = nearest.argmax()
    return chosen
