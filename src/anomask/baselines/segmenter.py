"""The discriminative half of DRAEM and DSR: a U-Net that compares a slice with what it should look like."""

import torch
import torch.nn.functional as F
from monai.losses import FocalLoss
from monai.networks.nets import BasicUNet
from torch import Tensor, nn


class Segmenter(nn.Module):
    """MONAI's U-Net on two slices side by side, focal loss, and a mean filter over its answer.

    One logit a pixel: two of them under a softmax, as published, are the same function of their difference.

    Args:
        channels: on the full grid and after each of four halvings; the last step up has the first's.
        norm: 'batch' (DRAEM) or 'instance' (DSR).
        gamma: of the focal loss.
        filter_px: side of the mean filter, in pixels of a 256 px slice; scaled to `size`, 1 is off.
        size: S, side of the slices in pixels.
    """

    def __init__(self, channels: list[int], norm: str, gamma: float, filter_px: int, size: int) -> None:
        super().__init__()
        features = [*channels, channels[0]]
        self.network = BasicUNet(2, 2, 1, features, act="relu", norm=norm, upsample="nontrainable")
        self.focal = FocalLoss(gamma=gamma)
        self.radius = round((filter_px * size / 256 - 1) / 2)  # the filter's side is odd

    def forward(self, normal: Tensor, image: Tensor) -> Tensor:
        """Return logits [B, 1, S, S] that pixels of `image` are anomalous, given its `normal` look, of that shape."""
        return self.network(torch.cat([normal, image], dim=1))

    def loss(self, normal: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """Return the focal loss against the anomalous pixels `mask`, [B, 1, S, S] bool."""
        return self.focal(self(normal, image), mask.float())

    def anomaly_map(self, normal: Tensor, image: Tensor) -> Tensor:
        """Return the probability of being anomalous after the mean filter, [B, 1, S, S] in [0, 1]."""
        return F.avg_pool2d(self(normal, image).sigmoid(), 2 * self.radius + 1, 1, self.radius)
