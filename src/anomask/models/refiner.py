"""The pixel refiner: a small U-Net that takes the token classifier's answer from the token grid to pixels."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anomask.errors import ConfigError
from anomask.models.blocks import ResidualBlock, conv_norm

RESIDUAL_SCALE = 10.0  # brings residuals of a few grey levels to the size of the slice


class PixelRefiner(nn.Module):
    """Slice, residual and classified tokens -> one logit a pixel (method.md section 8; ours, not the paper's).

    The lowest grid is the token grid, where the classifier's tokens join: what is anomalous is decided there over the
    whole slice, where exactly it begins is seen on the finer grids.

    Args:
        width: C, token width.
        channels: after each halving of the slice; as many as halvings lie between pixels and tokens.
        stride: s, pixels of a token's side.

    Raises:
        ConfigError: `channels` does not end on the token grid.
    """

    def __init__(self, width: int, channels: list[int], stride: int) -> None:
        super().__init__()
        if 2 ** len(channels) != stride:
            raise ConfigError(
                f"model.refiner.channels has {len(channels)} entries, which end on a grid of stride "
                f"{2 ** len(channels)}; the tokens have stride {stride}. Give log2(stride) entries."
            )
        # No residual block on the finest grid: it would cost as much as all others together.
        self.down = nn.ModuleList([conv_norm(2, channels[0], kernel=5, stride=2)])
        self.down += [
            nn.Sequential(conv_norm(before, after, kernel=3, stride=2), ResidualBlock(after))
            for before, after in pairwise(channels)
        ]
        self.join = nn.Sequential(conv_norm(width + channels[-1], channels[-1], kernel=3), ResidualBlock(channels[-1]))
        upwards = list(pairwise(reversed(channels)))
        self.up = nn.ModuleList(conv_norm(before, after, kernel=3) for before, after in upwards)
        self.mix = nn.ModuleList(ResidualBlock(after) for _, after in upwards[:-1])
        self.mix += [nn.Identity() for _ in upwards[-1:]]
        self.head = nn.Sequential(nn.Conv2d(channels[0], 4, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, image: Tensor, residual: Tensor, tokens: Tensor) -> Tensor:
        """Return logits [B, 1, S, S].

        Args:
            image: x, [B, 1, S, S] in [0, 1].
            residual: slice minus restoration, [B, 1, S, S]; no gradient flows into it.
            tokens: the classifier's last features on their grid, [B, C, h, w].
        """
        grid, skips = torch.cat([image, RESIDUAL_SCALE * residual.detach()], dim=1), []
        for step in self.down:
            grid = step(grid)
            skips.append(grid)
        grid = self.join(torch.cat([grid, tokens], dim=1))
        for widen, mix, skip in zip(self.up, self.mix, reversed(skips[:-1]), strict=True):
            grid = mix(F.interpolate(widen(grid), scale_factor=2, mode="nearest") + skip)
        return self.head(grid)
