"""DRAEM: one network restores simulated anomalies, another learns to see them in the pair of slice and restoration."""

import torch
import torch.nn.functional as F
from monai.losses import SSIMLoss
from monai.networks.nets import AutoEncoder
from torch import Tensor

from anomask.baselines.foreign import ForeignTexture
from anomask.baselines.method import Baseline
from anomask.baselines.perlin import PerlinMasks
from anomask.baselines.segmenter import Segmenter


class DRAEM(Baseline):
    """Discriminatively trained reconstruction: L2 + SSIM + focal loss, all parts trained together.

    As published: Perlin masks on half of the slices, opacities, losses, no skip connections in the restorer. Different:
    foreign textures are other slices of the batch, strongly changed, since the Describable Textures are a data set of
    their own; narrower networks, MONAI's (the restorer strides where the paper's pools, with one convolution a step);
    one halving less, so that 128 px end on the grid of the paper's 256 px; no rotated slices unless `augment` has them;
    the mean filter smooths the map as well, where the paper uses it for the slice score alone.

    Args:
        masks: where anomalies go.
        source: what they are made of.
        opacity: smallest and largest share of the foreign texture in the mix.
        channels: the restorer's; each but the last halves the side.
        ssim_weight: of the SSIM loss beside the squared error.
        segmenter: the discriminative network.
    """

    title = "DRAEM"
    family = "synthesis"
    source = "Zavrtanik et al., ICCV 2021"

    def __init__(
        self,
        masks: PerlinMasks,
        source: ForeignTexture,
        opacity: tuple[float, float],
        channels: list[int],
        ssim_weight: float,
        segmenter: Segmenter,
    ) -> None:
        super().__init__()
        self.masks, self.texture, self.opacity = masks, source, opacity
        strides = [2] * (len(channels) - 1) + [1]
        self.restorer = AutoEncoder(2, 1, 1, channels, strides, act="relu", norm="batch")
        self.ssim, self.ssim_weight = SSIMLoss(2), ssim_weight
        self.segmenter = segmenter

    @torch.no_grad()
    def simulate(self, image: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return slices [B, 1, S, S] with simulated anomalies, and their masks [B, 1, S, S] bool."""
        mask = self.masks(image, generator)
        low, high = self.opacity
        opacity = low + (high - low) * torch.rand(len(image), generator=generator).view(-1, 1, 1, 1).to(image.device)
        return torch.where(mask, torch.lerp(image, self.texture(image, generator), opacity), image), mask

    def loss(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return the loss of restoring and of finding simulated anomalies."""
        anomalous, mask = self.simulate(image, generator)
        restored = self.restorer(anomalous)
        restoring = F.mse_loss(restored, image) + self.ssim_weight * self.ssim(restored, image)
        return restoring + self.segmenter.loss(restored, anomalous, mask)

    @torch.no_grad()
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the smoothed probability of being anomalous."""
        return self.segmenter.anomaly_map(self.restorer(image), image)
