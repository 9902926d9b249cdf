"""Stage 2, *detector*, as the default has it: a pixel network learns lesions that are painted into normal slices."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from anomask.batches import Detection, SliceBatch
from anomask.losses.pixel import PixelLoss
from anomask.metrics.pixel import PixelMetrics
from anomask.models.distributed import all_means
from anomask.models.pixel_detector import PixelDetector
from anomask.scoring.colour import grey, heat, outline, paint
from anomask.scoring.looks import Looks
from anomask.scoring.scorer import Scorer
from anomask.stages.optimisation import Optimisation, require_finite
from anomask.stages.seeding import slice_draws, step_seed
from anomask.synthesis.opacity import OpacityPainter, Painted


class PixelDetectorStage(pl.LightningModule):
    """Trains the pixel network on painted slices, and detects.

    Args:
        detector: the pixel network, with or without a frozen codebook's view of the slice.
        painter: paints lesions into the lungs of normal slices.
        pixel_loss: of the network's logits against the painted pixels.
        scorer: anomaly map and slice score.
        optimisation: optimiser and schedule; None where nothing is trained.
        seed: of every draw; what is painted into a slice depends on it, the step and the slice's row.
        settings: the run's settings as plain values, written into every checkpoint.
    """

    def __init__(
        self,
        detector: PixelDetector,
        painter: OpacityPainter,
        pixel_loss: PixelLoss,
        scorer: Scorer,
        optimisation: Optimisation | None,
        seed: int,
        settings: dict[str, Any],
    ) -> None:
        super().__init__()
        self.detector, self.painter, self.pixel_loss = detector, painter, pixel_loss
        self.scorer, self.optimisation, self.seed, self.settings = scorer, optimisation, seed, settings
        self.once, self.looks = Looks(scorer.mirror), Looks(scorer.mirror, scorer.crops)
        self.synthetic_pixels = PixelMetrics()

    def training_step(self, batch: SliceBatch, batch_idx: int) -> Tensor:
        """Paint into the batch, and find what was painted."""
        torch.manual_seed(step_seed(self.seed, self.global_step, batch_idx, self.global_rank))
        painted = self.painter(batch.image, batch.lung_mask, slice_draws(batch.index, self.seed, self.global_step))
        loss = self._loss(painted)
        self.log_dict(all_means({"train/loss": loss}))
        return require_finite(loss, self.global_step)

    def validation_step(self, batch: SliceBatch, batch_idx: int) -> None:
        """Map validation normals as they are, and the same slices with painted lesions that never change."""
        painted = self.paint(batch)
        # The whole slice alone chooses `best`: crops would take several times as long.
        whole = self.once(self.anomaly_map, batch.image)
        self.synthetic_pixels.update(whole, torch.zeros_like(painted.mask))
        self.synthetic_pixels.update(self.anomaly_map(painted.image), painted.mask)
        self.log("val/loss", self._loss(painted), batch_size=len(batch.image), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Log how well painted lesions are localised; `best` is the highest average precision."""
        result = self.synthetic_pixels.compute()
        self.synthetic_pixels.reset()
        self.log("val/synthetic_ap", result["ap"] or 0.0, prog_bar=True)
        self.log("val/synthetic_auroc", result["auroc"] or 0.0)

    def paint(self, batch: SliceBatch) -> Painted:
        """Return the batch with validation's painted lesions: a slice gets the same ones at every call."""
        return self.painter(batch.image, batch.lung_mask, slice_draws(batch.index, self.seed))

    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the map [B, 1, S, S] of one look at slices [B, 1, S, S]."""
        return self.scorer.anomaly_map.probability_map(self.detector(image).sigmoid()[:, 0], image.shape[-1])

    @torch.no_grad()
    def detect(self, batch: SliceBatch) -> Detection:
        """Detect anomalies in slices; labels in the batch are not looked at."""
        anomaly_map = self.looks(self.anomaly_map, batch.image)
        return Detection(anomaly_map, self.scorer.score(anomaly_map, batch.lung_mask))

    def factors(self, image: Tensor, detection: Detection) -> dict[str, Tensor]:
        """Return no maps: a probability has no factors."""
        return {}

    def _loss(self, painted: Painted) -> Tensor:
        return self.pixel_loss(self.detector(painted.image), painted.mask, painted.chosen)

    @torch.no_grad()
    def panel(self, batch: SliceBatch) -> dict[str, Tensor]:
        """Return pictures of a batch, name -> [B, 3, S, S]: painted slice, the lesion outlined, anomaly map."""
        painted = self.paint(batch)
        seen = [grey(image[0]) for image in painted.image]
        edges = [outline(mask[0]) for mask in painted.mask]
        return {
            "slice": torch.stack(seen),
            "painted": torch.stack([paint(*pair, (0.1, 1.0, 0.3)) for pair in zip(seen, edges, strict=True)]),
            "anomaly map": torch.stack([heat(image[0]) for image in self.anomaly_map(painted.image)]),
        }

    def configure_optimizers(self) -> dict[str, Any]:
        """Build the optimiser over the network; a codebook's parameters require no gradient."""
        return self.optimisation.configure(self.detector, self.trainer.estimated_stepping_batches)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the run's settings beside the weights, so that a checkpoint can be opened on its own."""
        checkpoint["settings"] = self.settings
