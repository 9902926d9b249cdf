"""Frozen ImageNet features of CT slices, shared by the feature-based methods."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anomask.baselines.imagenet import load
from anomask.errors import ConfigError
from anomask.scoring.anomaly_map import smooth


class ImageNetFeatures(nn.Module):
    """The last map of each wanted stride of a network that was trained on ImageNet.

    A slice is resized to `side`, repeated on three channels and normalised as in the network's training.

    Args:
        network: see `anomask.baselines.imagenet.load`.
        weights: a file with the network's state dict, or None for the library's own.
        strides: of the maps, in pixels of the resized slice.
        side: of the resized slice in pixels, a multiple of the strides.

    Raises:
        ConfigError: a side that is no multiple of a stride, or a stride that the network has not.
        AnomaskError: weights that cannot be had, see `anomask.baselines.imagenet.load`.
    """

    def __init__(self, network: str, weights: str | None, strides: list[int], side: int) -> None:
        super().__init__()
        if any(side % stride for stride in strides):
            raise ConfigError(f"baseline.features.side {side} is not a multiple of each of the strides {strides}.")
        pretrained = load(network, weights, side, max(strides))
        self.side, self.strides = side, strides
        self.network = pretrained.network.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(pretrained.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(pretrained.std).view(1, 3, 1, 1), persistent=False)
        self.taken, self.channels = self._find(network)

    @property
    def grid(self) -> tuple[int, int]:
        """Size of the first map."""
        return (self.side // self.strides[0],) * 2

    @torch.no_grad()
    def forward(self, image: Tensor) -> list[Tensor]:
        """Return maps [B, C, side / stride, side / stride], one a stride, of slices [B, 1, S, S] in [0, 1]."""
        image = F.interpolate(image, (self.side, self.side), mode="bilinear", align_corners=False)
        normalised = ((image - self.mean) / self.std).contiguous(memory_format=torch.channels_last)  # faster on a CPU
        maps = self.network(normalised)
        return [maps[index].contiguous() for index in self.taken]

    def anomaly_map(self, distances: Tensor, size: int, sigma: float) -> Tensor:
        """Bring distances to the size of the slice and blur them.

        Args:
            distances: [B, h, w].
            size: S, of the slice.
            sigma: in pixels of the resized slice, as publications give it.

        Returns:
            [B, 1, S, S]
        """
        enlarged = F.interpolate(distances[:, None], (size, size), mode="bilinear", align_corners=False)
        return smooth(enlarged, sigma * size / self.side)

    def _find(self, name: str) -> tuple[list[int], list[int]]:
        with torch.no_grad():
            maps = self.network(torch.zeros(1, 3, self.side, self.side))
        last = {self.side // found.shape[-1]: index for index, found in enumerate(maps)}
        if not last.keys() >= set(self.strides):
            raise ConfigError(f"baseline.features.strides is {self.strides}; {name} has maps of strides {[*last]}.")
        taken = [last[stride] for stride in self.strides]
        if hasattr(self.network, "stages"):  # what is deeper is not needed
            self.network.stages = self.network.stages[: max(taken) + 1]
        return taken, [maps[index].shape[1] for index in taken]


def concatenate(maps: list[Tensor], mode: str) -> Tensor:
    """Enlarge maps [B, C, h, w] to the first one's size by `mode` ('nearest' or 'bilinear') and join their channels."""
    size = maps[0].shape[-2:]
    align = {} if mode == "nearest" else {"align_corners": False}
    return torch.cat([maps[0], *(F.interpolate(part, size, mode=mode, **align) for part in maps[1:])], dim=1)


def patch_features(maps: list[Tensor]) -> Tensor:
    """Return locally aware patch features [B, C, h, w]: 3 x 3 means of each map, joined at the first one's size."""
    return concatenate([F.avg_pool2d(part, 3, stride=1, padding=1) for part in maps], "bilinear")
