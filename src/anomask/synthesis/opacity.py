"""Image-space corruption: soft-edged opacities painted into the lung, a companion of the feature-space synthesiser.

A lesion changes what the encoder sees, not only which code it lands on; painting one shows the classifier the codes
that an unknown density really lands on. Shapes are thresholded smooth noise or round nodules: no
disease is modelled.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from anomask.synthesis.draws import SliceDraws
from anomask.synthesis.shapes import log_uniform, nodule_cover, region_cover, smooth_edge, smooth_noise

SIDE_PX = 128  # of the slices in whose pixels sizes are given; lesions of larger slices are larger


class Painted(NamedTuple):
    """Slices with opacities and where they are."""

    image: Tensor  # [B, 1, S, S] in [0, 1]
    mask: Tensor  # [B, 1, S, S] bool, where lung of mean density rises by more than `least_rise`
    chosen: Tensor  # [B] bool, images that were painted; the others are untouched


class OpacityPainter:
    """Paints random opacities into the lung of a share of the images of a batch.

    Args:
        image_share: chance that an image is painted, in [0, 1].
        nodule_share: chance that a painted image gets nodules instead of regions, in [0, 1].
        scales_px: shortest and longest correlation length of a region's shape, in pixels of a slice of
            128 px, and in proportion on others; drawn log-uniformly.
        coverage: smallest and largest share of the lung inside regions; drawn log-uniformly.
        radius_px: smallest and largest radius of a nodule, in such pixels; drawn log-uniformly.
        most_nodules: 1 to this many in an image.
        strength: smallest and largest opacity, the part of the way from the tissue to `target`.
        target: lowest and highest grey value of a full opacity, in [0, 1].
        texture: largest relative amplitude of the noise inside an opacity.
        edge: narrowest and widest soft edge, in standard deviations of the shape noise, or in radii of a nodule.
        least_rise: rise of lung of mean density above which a pixel counts as anomalous, in [0, 1].
        blur: largest share of a 3 x 3 mean in the painted slice, lesion and lung alike, in [0, 1].
        noise: largest standard deviation of the noise added to it, of the grey range.
    """

    def __init__(
        self,
        image_share: float,
        nodule_share: float,
        scales_px: tuple[float, float],
        coverage: tuple[float, float],
        radius_px: tuple[float, float],
        most_nodules: int,
        strength: tuple[float, float],
        target: tuple[float, float],
        texture: float,
        edge: tuple[float, float],
        least_rise: float,
        blur: float,
        noise: float,
    ) -> None:
        self.image_share, self.nodule_share, self.most_nodules = image_share, nodule_share, most_nodules
        self.scales_px, self.coverage, self.radius_px = scales_px, coverage, radius_px
        self.strength, self.target, self.texture = strength, target, texture
        self.edge, self.least_rise, self.blur, self.noise = edge, least_rise, blur, noise

    @torch.no_grad()
    def __call__(self, image: Tensor, lung: Tensor, draws: SliceDraws) -> Painted:
        """Paint into slices [B, 1, S, S] inside `lung` [B, 1, S, S] bool."""

        def uniform(low: float, high: float) -> Tensor:
            return (low + (high - low) * draws.uniform(1, 1, 1)).to(image.device)

        enlargement = image.shape[-1] / SIDE_PX
        scale = enlargement * log_uniform(*self.scales_px, draws, 1, 1, 1).to(image.device)
        coverage = log_uniform(*self.coverage, draws, 1, 1, 1).to(image.device)
        edge = uniform(*self.edge)
        regions = region_cover(lung, scale, coverage, edge, draws)
        radii = tuple(enlargement * radius for radius in self.radius_px)
        nodules = nodule_cover(lung, self.most_nodules, radii, edge, draws)
        cover = torch.where(uniform(0.0, 1.0) < self.nodule_share, nodules, regions) * smooth_edge(lung)
        fine = smooth_noise(image, uniform(1.5, 6.0), draws)
        even, target = uniform(*self.strength) * cover, uniform(*self.target)
        opacity = (even * (1 + uniform(0.0, self.texture) * fine)).clamp(0.0, 1.0)
        # Denser tissue (vessels) is left alone: an opacity adds density, it never removes any.
        rise = (opacity * (target - image)).clamp(min=0.0)
        # A lesion is outlined as a whole, the vessels in it included: by what it adds to the lung's mean.
        mean = (image * lung).sum((2, 3), keepdim=True) / lung.sum((2, 3), keepdim=True).clamp(min=1)
        mask = even * (target - mean) > self.least_rise
        seen = self._scanned(image + rise, draws)
        chosen = (draws.uniform().to(image.device) < self.image_share).view(-1, 1, 1, 1)
        return Painted(seen.where(chosen, image), mask & chosen, chosen.flatten())

    def _scanned(self, image: Tensor, draws: SliceDraws) -> Tensor:
        # Blur and noise over lesion and lung alike, so that neither gives the painting away.
        blur = self.blur * draws.uniform(1, 1, 1).to(image.device)
        soft = F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
        noise = draws.normal(*image.shape[1:]) * draws.uniform(1, 1, 1) * self.noise
        return (torch.lerp(image, soft, blur) + noise.to(image.device)).clamp(0.0, 1.0)
