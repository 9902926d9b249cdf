"""Test-time repair, an extension of the paper: flagged tokens are replaced by their unflagged surroundings."""

import torch.nn.functional as F
from torch import Tensor


def repair_tokens(tokens: Tensor, flagged: Tensor, rounds: int) -> Tensor:
    """Replace flagged tokens by the mean of the unflagged tokens around them, growing inwards.

    Args:
        tokens: [B, C, h, w]
        flagged: [B, 1, h, w] bool.
        rounds: how many rings of flagged tokens are filled; deeper ones stay as they are.

    Returns:
        [B, C, h, w]; unflagged tokens unchanged.
    """
    known = (~flagged).to(tokens.dtype)
    for _ in range(rounds):
        weight = F.avg_pool2d(known, 3, 1, 1, count_include_pad=False)
        around = F.avg_pool2d(tokens * known, 3, 1, 1, count_include_pad=False) / weight.clamp(min=1e-6)
        fresh = (known == 0) & (weight > 0)
        tokens = around.where(fresh, tokens)
        known = known.where(~fresh, 1.0)
    return tokens
