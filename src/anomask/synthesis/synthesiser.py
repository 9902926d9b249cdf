"""The anomaly feature synthesiser: a location and a draw put together (method.md section 3)."""

from collections.abc import Callable

import torch
from torch import Tensor

from anomask.batches import Corruption, FrozenFeatures
from anomask.synthesis.draws import SliceDraws


class Synthesiser:
    """Corrupts a share of each image's tokens with other codes; no gradient, no learned parameter.

    Args:
        location: where; a function of `anomask.synthesis.location` with its own settings bound.
        draw: with what; a function of `anomask.synthesis.replacement` with its own settings bound.
        share: r, the corrupted share of the tokens, in (0, 1).
    """

    def __init__(self, location: Callable[..., Tensor], draw: Callable[..., Tensor], share: float) -> None:
        self.location, self.draw, self.share = location, draw, share

    @torch.no_grad()
    def __call__(self, features: FrozenFeatures, codebook: Tensor, allowed: Tensor, draws: SliceDraws) -> Corruption:
        """Return corrupted tokens and where they are.

        Args:
            features: the frozen codebook's view of the batch.
            codebook: [K, C], the first level's codes.
            allowed: [B, N] bool, tokens that may be corrupted.
            draws: source of every draw.
        """
        mask = self.location(features, allowed, self.share, draws)
        codes = self.draw(features.tokens, features.codes, mask, codebook, draws)
        # With residual depth > 1 the finer levels stay; with depth 1 their part is exactly zero.
        finer = features.quantised[mask] - codebook[features.codes[mask]]
        tokens = features.quantised.clone()
        tokens[mask] = codebook[codes[mask]] + finer
        return Corruption(tokens, mask)
