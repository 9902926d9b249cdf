"""Encoders E: a slice [B, 1, S, S] becomes a grid of features [B, C, S / stride, S / stride]."""

from itertools import pairwise
from pathlib import Path

import torch
from monai.networks.nets.resnet import resnet18
from torch import Tensor, nn

from anomask.errors import ConfigError
from anomask.models.blocks import ResidualBlock, conv_norm


class PatchEncoder(nn.Module):
    """Small CPU-friendly encoder: a patchify stem, then stride-2 steps, each followed by residual blocks.

    Full-resolution blocks are what makes a small encoder slow, so nothing here runs above a quarter of the side.

    Args:
        width: C, token width.
        channels: channels after the stem and after each stride-2 step; stride = stem_stride * 2^(len - 1).
        stem_stride: side of the stem's patches, in pixels.
        blocks: residual blocks after the stem and after each step.
    """

    def __init__(self, width: int, channels: list[int], stem_stride: int, blocks: int) -> None:
        super().__init__()
        self.stride = stem_stride * 2 ** (len(channels) - 1)
        # One pixel of overlap on each side: without it the patches' borders show in the restoration.
        self.stem = nn.Conv2d(1, channels[0], stem_stride + 2, stem_stride, padding=1)
        layers: list[nn.Module] = [ResidualBlock(channels[0]) for _ in range(blocks)]
        for before, after in pairwise(channels):
            layers.append(conv_norm(before, after, kernel=3, stride=2))
            layers.extend(ResidualBlock(after) for _ in range(blocks))
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels[-1], width, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Encode [B, 1, S, S] to [B, C, h, w]."""
        return self.head(self.blocks(self.stem(image)))


class Resnet18Trunk(nn.Module):
    """ResNet-18 to its third stage without max-pool, then a 1x1 convolution to C (method.md section 2; stride 8).

    Args:
        width: C, token width.
        weights: file with a ResNet-18 state dict in torchvision's names (ImageNet, say), or None to start at random.

    Raises:
        ConfigError: the weights' file is missing or does not hold such a state dict.
    """

    stride = 8

    def __init__(self, width: int, weights: str | None) -> None:
        super().__init__()
        trunk = resnet18(spatial_dims=2, n_input_channels=1, conv1_t_stride=2, no_max_pool=True, num_classes=1)
        self.stem = nn.Sequential(trunk.conv1, trunk.bn1, trunk.act)
        self.stages = nn.Sequential(trunk.layer1, trunk.layer2, trunk.layer3)
        self.head = nn.Conv2d(256, width, 1)
        if weights is not None:
            self._load(trunk, Path(weights))

    def forward(self, image: Tensor) -> Tensor:
        """Encode [B, 1, S, S] to [B, C, S / 8, S / 8]."""
        return self.head(self.stages(self.stem(image)))

    @staticmethod
    def _load(trunk: nn.Module, file: Path) -> None:
        wanted = "a torch file with the state dict of a ResNet-18 in torchvision's names"
        if not file.is_file():
            raise ConfigError(f"no encoder weights at {file}. Wanted: {wanted}. Set model.encoder.weights.")
        state = torch.load(file, map_location="cpu", weights_only=True)
        state = {name: value for name, value in state.items() if not name.startswith(("layer4", "fc"))}
        if "conv1.weight" in state and state["conv1.weight"].shape[1] == 3:
            state["conv1.weight"] = state["conv1.weight"].sum(1, keepdim=True)  # one grey channel for equal RGB
        missing, unexpected = trunk.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.startswith(("layer4", "fc"))]
        if missing or unexpected:
            raise ConfigError(f"{file} lacks {missing[:3]} and has unknown {unexpected[:3]}. Wanted: {wanted}.")
