"""What a frozen codebook says of a slice, pixel by pixel: further inputs of the pixel network."""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anomask.errors import ConfigError
from anomask.models.refiner import RESIDUAL_SCALE
from anomask.models.tokens import to_grid
from anomask.models.vqvae import VQVAE

CHANNELS = ("residual", "distance", "tokens")


class CodebookView(nn.Module):
    """A frozen VQ-VAE's view of slices, as channels on the pixel grid.

    'residual' is the slice minus its reconstruction; 'distance' how far each token lies from its code; 'tokens' the
    tokens after quantisation, squeezed to `squeezed` channels by a learned 1 x 1 convolution. The two of tokens are
    spread bilinearly over the pixels.

    Args:
        vqvae: stage 1's model with its weights; frozen for good, and in eval mode.
        channels: which of them.
        squeezed: channels of 'tokens'.

    Raises:
        ConfigError: an unknown channel, or none.
    """

    def __init__(self, vqvae: VQVAE, channels: list[str], squeezed: int) -> None:
        super().__init__()
        if not channels or not set(channels) <= set(CHANNELS):
            raise ConfigError(
                f"model.view.channels is {channels}; use some of {', '.join(CHANNELS)}, or model.view=null for none."
            )
        self.vqvae, self.channels = vqvae.requires_grad_(False).eval(), channels
        if "tokens" in channels:
            self.squeeze = nn.Conv2d(vqvae.quantiser.width, squeezed, 1)
        self.count = sum(squeezed if name == "tokens" else 1 for name in channels)

    def train(self, mode: bool = True) -> Self:
        """Switch the trainable part; the frozen VQ-VAE stays in eval mode."""
        super().train(mode)
        self.vqvae.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Return the channels [B, `count`, S, S] of slices [B, 1, S, S]."""
        with torch.no_grad():
            latent = self.vqvae.encode(image)
            quantised = self.vqvae.quantiser(latent).tokens
        found = []
        for name in self.channels:
            if name == "residual":
                with torch.no_grad():
                    found.append(RESIDUAL_SCALE * (image - self.vqvae.decode(quantised)))
            elif name == "distance":
                away = (latent - quantised).norm(dim=2, keepdim=True)
                found.append(_on_pixels(to_grid(away), image.shape[-1]))
            else:
                found.append(_on_pixels(self.squeeze(to_grid(quantised)), image.shape[-1]))
        return torch.cat(found, dim=1)


def _on_pixels(grid: Tensor, size: int) -> Tensor:
    return F.interpolate(grid, (size, size), mode="bilinear", align_corners=False)
