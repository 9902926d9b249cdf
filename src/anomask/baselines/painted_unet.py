"""The control: a plain U-Net that learns the painter's opacities, and nothing else."""

import torch
from torch import Tensor

from anomask.baselines.method import Baseline
from anomask.batches import SliceBatch
from anomask.losses.pixel import PixelLoss
from anomask.models.unet import PixelUNet
from anomask.scoring.anomaly_map import smooth
from anomask.scoring.looks import Looks
from anomask.synthesis.draws import SliceDraws
from anomask.synthesis.opacity import OpacityPainter


class PaintedUNet(Baseline):
    """A U-Net on the slices that `synthesiser.painter` paints: no codebook, no tokens, no classifier, no restorer.

    What our detector is tested against: whatever it has beside painted slices has to earn its place. Painter, pixel
    loss, smoothing and looks are the detector's own.

    Args:
        network: slices [B, 1, S, S] -> logits of that shape.
        painter: paints lesions into the lungs of normal slices.
        pixel_loss: of the logits.
        looks: how often a slice is looked at.
        sigma: Gaussian smoothing of each look's map, in pixels.
    """

    title = "U-Net on painted slices"
    family = "synthesis"
    source = "the control of ours, docs/evidence/detection_study.md"

    def __init__(
        self, network: PixelUNet, painter: OpacityPainter, pixel_loss: PixelLoss, looks: Looks, sigma: float
    ) -> None:
        super().__init__()
        self.network, self.painter, self.pixel_loss = network, painter, pixel_loss
        self.looks, self.sigma = looks, sigma

    def training_loss(self, batch: SliceBatch, generator: torch.Generator) -> Tensor:
        """Return the pixel loss of slices painted inside their lungs."""
        seeds = torch.randint(2**62, (len(batch.image),), generator=generator).tolist()
        painted = self.painter(batch.image, batch.lung_mask, SliceDraws(seeds))
        return self.pixel_loss(self.network(painted.image), painted.mask, painted.chosen)

    @torch.no_grad()
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the smoothed probability of being painted, over all looks."""
        return self.looks(lambda seen: smooth(self.network(seen).sigmoid(), self.sigma), image)
