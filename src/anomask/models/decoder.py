"""Decoders G and G': a grid of tokens [B, C, h, w] becomes a slice [B, 1, S, S] in [0, 1]."""

from itertools import pairwise

from torch import Tensor, nn

from anomask.models.blocks import ResidualBlock, conv_norm


class UpsamplingDecoder(nn.Module):
    """Doubles the side once per entry of `channels`, with two 3x3 convolutions each (method.md section 2).

    Args:
        width: C, token width.
        channels: channels after each doubling, for example [256, 128, 64].
    """

    def __init__(self, width: int, channels: list[int]) -> None:
        super().__init__()
        self.stride = 2 ** len(channels)
        layers: list[nn.Module] = []
        for before, after in zip([width, *channels], channels, strict=False):
            layers += [
                nn.Upsample(scale_factor=2),
                conv_norm(before, after, kernel=3),
                conv_norm(after, after, kernel=3),
            ]
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels[-1], 1, 1)

    def forward(self, grid: Tensor) -> Tensor:
        """Decode [B, C, h, w] to [B, 1, h * stride, w * stride]."""
        return self.head(self.body(grid)).sigmoid()


class SubpixelDecoder(nn.Module):
    """Small CPU-friendly decoder: residual blocks on coarse grids, the last step of `head_stride` by pixel shuffle.

    Args:
        width: C, token width.
        channels: channels on the token grid and after each doubling; stride = head_stride * 2^(len - 1).
        head_stride: factor of the last, sub-pixel step.
        blocks: residual blocks on each grid.
    """

    def __init__(self, width: int, channels: list[int], head_stride: int, blocks: int) -> None:
        super().__init__()
        self.stride = head_stride * 2 ** (len(channels) - 1)
        layers: list[nn.Module] = [conv_norm(width, channels[0], kernel=3)]
        layers += [ResidualBlock(channels[0]) for _ in range(blocks)]
        for before, after in pairwise(channels):
            layers += [nn.Upsample(scale_factor=2), conv_norm(before, after, kernel=3)]
            layers += [ResidualBlock(after) for _ in range(blocks)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Conv2d(channels[-1], head_stride**2, 3, padding=1), nn.PixelShuffle(head_stride))

    def forward(self, grid: Tensor) -> Tensor:
        """Decode [B, C, h, w] to [B, 1, h * stride, w * stride]."""
        return self.head(self.body(grid)).sigmoid()
