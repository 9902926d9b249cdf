"""The pixel network: a U-Net at the slice's full resolution."""

import torch
from monai.networks.nets import BasicUNet
from torch import Tensor, nn


class PixelUNet(nn.Module):
    """MONAI's BasicUNet: a slice, and what else is known of its pixels -> one logit a pixel.

    Args:
        features: channels on the full grid and after each of four halvings, and of the last step up.
        norm: MONAI's name of the normalisation: 'batch', 'instance' or 'group'.
        further: channels beside the slice, such as those of `anomask.models.codebook_view`.
    """

    def __init__(self, features: list[int], norm: str, further: int = 0) -> None:
        super().__init__()
        self.network = BasicUNet(2, 1 + further, 1, features, norm=norm)

    def forward(self, image: Tensor, *further: Tensor) -> Tensor:
        """Return logits [B, 1, S, S] of slices [B, 1, S, S] and their further channels [B, C, S, S]."""
        return self.network(torch.cat([image, *further], dim=1))
