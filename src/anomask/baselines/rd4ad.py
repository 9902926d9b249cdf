"""RD4AD: a student decodes a frozen teacher's features from a one-class embedding; where it fails is anomalous."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anomask.baselines.features import ImageNetFeatures
from anomask.baselines.method import Baseline
from anomask.errors import ConfigError


class RD4AD(Baseline):
    """Reverse distillation: cosine distance between the maps of a frozen teacher and of a mirrored student.

    As published: teacher maps of strides 4, 8 and 16; a one-class bottleneck that brings them to the coarsest by
    strided 3 x 3 convolutions, joins them and embeds them at the next stride by a block of the teacher's kind; a
    student that mirrors the teacher with 2 x 2 transposed convolutions for its strides; cosine distance at every
    position, its mean summed over scales as loss, itself enlarged and summed as map, smoothed. Not as published: the
    teacher (Wide-ResNet-50-2 there), hence inverted residual blocks with linear output in place of ResNet's; fewer
    blocks and steps. The loss is the publication's equation; its released code flattens each map instead.

    Args:
        features: the frozen teacher, finest stride first, each stride twice the one before.
        width: channels of the embedding.
        expansion: of the inverted residual blocks.
        blocks: of each scale.
        sigma: Gaussian smoothing, in pixels of the resized slice.

    Raises:
        ConfigError: other strides.
    """

    title = "RD4AD"
    family = "feature"
    source = "Deng and Li, CVPR 2022"
    frozen = ("features",)

    def __init__(self, features: ImageNetFeatures, width: int, expansion: int, blocks: int, sigma: float) -> None:
        super().__init__()
        strides = features.strides
        if any(after != 2 * before for before, after in pairwise(strides)) or features.side % (2 * strides[-1]):
            raise ConfigError(
                f"baseline.features.strides is {strides} of side {features.side}; RD4AD wants each stride twice the "
                "one before, and a side that is a multiple of twice the last."
            )
        self.features, self.sigma = features, sigma
        self.bottleneck = Bottleneck(features.channels, width, expansion, blocks)
        widths = [width, *reversed(features.channels)]
        self.student = nn.ModuleList(
            _scale(before, after, "up", expansion, blocks) for before, after in pairwise(widths)
        )

    def loss(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean cosine distance of each scale, summed."""
        return torch.stack([distance.mean() for distance in self.distances(image)]).sum()

    def distances(self, image: Tensor) -> list[Tensor]:
        """Return cosine distances [B, h, w] in [0, 2] of each scale, finest first, of slices [B, 1, S, S]."""
        teacher = self.features(image)
        decoded, student = self.bottleneck(teacher), []
        for scale in self.student:
            decoded = scale(decoded)
            student.append(decoded)
        return [1 - F.cosine_similarity(*pair) for pair in zip(teacher, reversed(student), strict=True)]

    @torch.no_grad()
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the smoothed sum of the scales' distances."""
        size, sigma = image.shape[-1], self.sigma
        maps = [self.features.anomaly_map(distance, size, sigma) for distance in self.distances(image)]
        return torch.stack(maps).sum(0).clamp(min=0.0)  # a cosine may pass 1 by a rounding error


class Bottleneck(nn.Module):
    """Multi-scale fusion and one-class embedding.

    Args:
        channels: of the teacher's maps, finest first.
        width: of the embedding.
        expansion: of the inverted residual blocks.
        blocks: of the embedding.
    """

    def __init__(self, channels: list[int], width: int, expansion: int, blocks: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(
            nn.Sequential(*(_halve(*pair) for pair in pairwise(channels[level:]))) for level in range(len(channels))
        )
        self.embed = _scale(len(channels) * channels[-1], width, "down", expansion, blocks)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return the embedding [B, width, h / 2, w / 2] of maps whose coarsest is [B, C, h, w]."""
        reduced = [steps(one) for steps, one in zip(self.reduce, maps, strict=True)]
        return self.embed(torch.cat(reduced, dim=1))


class InvertedResidual(nn.Sequential):
    """EfficientNet-lite's block: widen, filter each channel, narrow; linear at its end.

    Args:
        before: channels that come in.
        after: channels that go out.
        change: of the resolution, 'same', 'down' (half) or 'up' (double: the mirrored block).
        expansion: channels inside, as a multiple of those that come in.
    """

    def __init__(self, before: int, after: int, change: str, expansion: int) -> None:
        inside = before * expansion
        if change == "up":
            each = nn.ConvTranspose2d(inside, inside, 2, stride=2, groups=inside, bias=False)
        else:
            stride = 2 if change == "down" else 1
            each = nn.Conv2d(inside, inside, 3, stride, padding=1, groups=inside, bias=False)
        super().__init__(
            nn.Conv2d(before, inside, 1, bias=False),
            nn.BatchNorm2d(inside),
            nn.ReLU6(),
            each,
            nn.BatchNorm2d(inside),
            nn.ReLU6(),
            nn.Conv2d(inside, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.skips = change == "same" and before == after

    def forward(self, tokens: Tensor) -> Tensor:
        """Return [B, after, h', w'] of [B, before, h, w]."""
        found = super().forward(tokens)
        return tokens + found if self.skips else found


def _scale(before: int, after: int, change: str, expansion: int, blocks: int) -> nn.Sequential:
    same = (InvertedResidual(after, after, "same", expansion) for _ in range(blocks - 1))
    return nn.Sequential(InvertedResidual(before, after, change, expansion), *same)


def _halve(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, 2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
