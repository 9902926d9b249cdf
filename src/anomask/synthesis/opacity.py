"""Image-space corruption: soft-edged opacities painted into the lung, a companion of the feature-space synthesiser.

A lesion changes what the encoder sees, not only which code it lands on; painting one shows the classifier the codes
that an unknown density really lands on. Shapes are thresholded smooth noise: no disease is modelled.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from anomask.synthesis.draws import SliceDraws


class Painted(NamedTuple):
    """Slices with opacities and where they are."""

    image: Tensor  # [B, 1, S, S] in [0, 1]
    mask: Tensor  # [B, 1, S, S] bool, where the image rose by more than `least_rise`
    chosen: Tensor  # [B] bool, images that were painted; the others are untouched


class OpacityPainter:
    """Paints random opacities into the lung of a share of the images of a batch.

    Args:
        image_share: chance that an image is painted, in [0, 1].
        scales_px: shortest and longest correlation length of a shape, in pixels; drawn log-uniformly.
        coverage: smallest and largest share of the lung inside a shape; drawn log-uniformly.
        strength: smallest and largest opacity, the part of the way from the tissue to `target`.
        target: lowest and highest grey value of a full opacity, in [0, 1].
        texture: largest relative amplitude of the noise inside an opacity.
        edge: width of the soft edge in units of the shape noise's standard deviation.
        least_rise: rise of the grey value above which a pixel counts as anomalous, in [0, 1].
    """

    def __init__(
        self,
        image_share: float,
        scales_px: tuple[float, float],
        coverage: tuple[float, float],
        strength: tuple[float, float],
        target: tuple[float, float],
        texture: float,
        edge: float,
        least_rise: float,
    ) -> None:
        self.image_share, self.scales_px, self.coverage = image_share, scales_px, coverage
        self.strength, self.target, self.texture = strength, target, texture
        self.edge, self.least_rise = edge, least_rise

    @torch.no_grad()
    def __call__(self, image: Tensor, lung: Tensor, draws: SliceDraws) -> Painted:
        """Paint into slices [B, 1, S, S] inside `lung` [B, 1, S, S] bool."""

        def uniform(low: float, high: float) -> Tensor:
            return (low + (high - low) * draws.uniform(1, 1, 1)).to(image.device)

        scale = uniform(*(torch.tensor(self.scales_px).log2().tolist())).exp2()
        coverage = uniform(*(torch.tensor(self.coverage).log2().tolist())).exp2()
        shape = smooth_noise(image, scale, draws)
        # Localised: a random window keeps most shapes from spreading evenly over both lungs.
        shape = shape + 1.5 * smooth_noise(image, torch.full_like(scale, image.shape[-1] / 3), draws)
        level = _upper_quantile(shape, lung, coverage)
        cover = ((shape - level) / self.edge).clamp(0.0, 1.0) * smooth_edge(lung)
        fine = smooth_noise(image, uniform(1.5, 6.0), draws)
        opacity = (uniform(*self.strength) * cover * (1 + uniform(0.0, self.texture) * fine)).clamp(0.0, 1.0)
        # Denser tissue (vessels) is left alone: an opacity adds density, it never removes any.
        rise = (opacity * (uniform(*self.target) - image)).clamp(min=0.0)
        chosen = draws.uniform().to(image.device) < self.image_share
        rise = rise * chosen.view(-1, 1, 1, 1)
        return Painted(image + rise, rise > self.least_rise, chosen)


def smooth_noise(like: Tensor, scale_px: Tensor, draws: SliceDraws) -> Tensor:
    """Return unit-variance Gaussian noise of shape [B, 1, S, S] with each image's own correlation length.

    Args:
        like: [B, 1, S, S], gives shape and device.
        scale_px: [B, 1, 1, 1], correlation length in pixels.
        draws: source of the noise.
    """
    size = like.shape[-1]
    frequency = torch.fft.fftfreq(size)[:, None].square() + torch.fft.rfftfreq(size).square()
    white = torch.fft.rfft2(draws.normal(*like.shape[1:])).to(like.device)
    # exp(-2 (pi sigma f)^2) is a Gaussian blur of sigma pixels; a quarter of the length makes blobs of that size.
    blur = torch.exp(-2 * (torch.pi * scale_px / 4).square() * frequency.to(like.device))
    noise = torch.fft.irfft2(white * blur, s=(size, size))
    return noise / noise.std((2, 3), keepdim=True).clamp(min=1e-6)


def smooth_edge(lung: Tensor) -> Tensor:
    """Feather a lung mask [B, 1, S, S] inwards by about two pixels, so that a painted lesion meets the wall softly."""
    return F.avg_pool2d(lung.float(), 3, 1, 1, count_include_pad=False) * lung


def _upper_quantile(values: Tensor, within: Tensor, share: Tensor) -> Tensor:
    # The value that `share` of the pixels inside `within` exceed; images without such pixels get infinity.
    ordered = values.masked_fill(~within, -torch.inf).flatten(1).sort(dim=1, descending=True).values
    index = (within.flatten(1).sum(1) * share.flatten()).long().clamp(max=ordered.shape[1] - 1)
    level = ordered.gather(1, index[:, None])
    return level.masked_fill(level == -torch.inf, torch.inf).view(-1, 1, 1, 1)
