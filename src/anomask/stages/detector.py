"""Stage 2, *detector*: restorer and classifier learn from synthetic anomalies (docs/method.md sections 3 to 6)."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from anomask.losses.neighbourhood import NeighbourhoodLoss, token_counts
from anomask.metrics.pixel import PixelMetrics
from anomask.models.detector import Detector
from anomask.models.distributed import all_mean, all_means
from anomask.models.tokens import to_grid, to_tokens
from anomask.scoring.colour import grey, heat, outline, paint
from anomask.scoring.repair import repair_tokens
from anomask.scoring.scorer import Scorer
from anomask.stages.corruption import Corrupted, Corrupter
from anomask.stages.features import FeatureCache, FrozenFeatureSource
from anomask.stages.normals import ValidationNormals, of_all_processes
from anomask.stages.optimisation import Optimisation, require_finite
from anomask.stages.seeding import slice_draws, step_seed
from anomask.types import Detection, SliceBatch


class DetectorStage(pl.LightningModule):
    """Trains restorer and classifier on top of a frozen codebook, and detects.

    Args:
        detector: the networks; only restorer and classifier are trained.
        corrupter: makes the synthetic anomalies of training and validation.
        features: the frozen features of a batch.
        loss: restoration and weighted classification.
        scorer: anomaly map and slice score.
        optimisation: optimiser and schedule.
        seed: of every draw; a slice's corruption depends on it, the step and the slice's row.
        settings: the run's settings as plain values, written into every checkpoint.
    """

    def __init__(
        self,
        detector: Detector,
        corrupter: Corrupter,
        features: FrozenFeatureSource,
        loss: NeighbourhoodLoss,
        scorer: Scorer,
        optimisation: Optimisation,
        seed: int,
        settings: dict[str, Any],
    ) -> None:
        super().__init__()
        self.detector, self.corrupter, self.features = detector, corrupter, features
        self.loss, self.scorer, self.optimisation = loss, scorer, optimisation
        self.seed, self.settings = seed, settings
        self.cache: FeatureCache | None = None  # set before training where slices are not augmented
        self.synthetic_pixels, self.normal_pixels = PixelMetrics(), PixelMetrics()
        self.normal_scores: list[Tensor] = []
        self.normals: ValidationNormals | None = None  # of all processes, after a validation

    def training_step(self, batch: SliceBatch, batch_idx: int) -> Tensor:
        """Corrupt the batch, then restore and classify it."""
        place = (self.seed, self.global_step, batch_idx, self.global_rank)
        torch.manual_seed(step_seed(*place))  # dropout has no generator argument; this keeps resumed runs exact
        features = self.features(batch) if self.cache is None else self.cache(batch)
        corrupted = self.corrupter(batch, features, slice_draws(batch.index, self.seed, self.global_step))
        restored = self.detector.restore(corrupted.quantised)
        logits = self.detector.classify(corrupted.quantised, corrupted.latent, corrupted.observed - restored)
        stride = self.detector.vqvae.stride
        counts = all_mean(token_counts(corrupted.mask))
        losses = self.loss(batch.image, restored, logits, corrupted.mask, stride, self.global_step, counts)
        values = {f"train/{name}": value for name, value in zip(("loss", *losses._fields[1:]), losses, strict=True)}
        self.log_dict(all_means(values))
        return require_finite(losses.total, self.global_step)

    def on_validation_epoch_start(self) -> None:
        """Forget the scores of the last validation."""
        self.normal_scores = []
        self.normal_pixels.reset()

    def validation_step(self, batch: SliceBatch, batch_idx: int) -> None:
        """Score validation normals as they are, and the same slices with synthetic anomalies that never change."""
        detection = self.detect(batch)
        self.normal_scores.append(detection.score)
        counted = self.scorer.counted(batch.lung_mask)
        self.normal_pixels.update(detection.anomaly_map, torch.zeros_like(batch.mask), counted)
        corrupted = self.corrupt(batch)
        restored = self.detector.restore(corrupted.quantised)
        logits = self.detector.classify(corrupted.quantised, corrupted.latent, corrupted.observed - restored)
        anomaly_map = self.scorer.anomaly_map(corrupted.observed, restored, to_grid(logits.sigmoid()[..., None])[:, 0])
        self.synthetic_pixels.update(detection.anomaly_map, torch.zeros_like(corrupted.pixel_mask))
        self.synthetic_pixels.update(anomaly_map, corrupted.pixel_mask)
        stride = self.detector.vqvae.stride
        losses = self.loss(batch.image, restored, logits, corrupted.mask, stride, self.global_step)
        values = {f"val/{name}": value for name, value in zip(("loss", *losses._fields[1:]), losses, strict=True)}
        self.log_dict(values, batch_size=len(batch.image), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Log how well synthetic anomalies are localised; `best` is the highest average precision."""
        self.normals = of_all_processes(self.normal_scores, self.normal_pixels)
        result = self.synthetic_pixels.compute()
        self.synthetic_pixels.reset()
        self.log("val/synthetic_ap", result["ap"] or 0.0, prog_bar=True)
        self.log("val/synthetic_auroc", result["auroc"] or 0.0)

    def corrupt(self, batch: SliceBatch) -> Corrupted:
        """Return the batch with validation's synthetic anomalies: a slice gets the same ones at every call."""
        return self.corrupter(batch, self.features(batch), slice_draws(batch.index, self.seed))

    @torch.no_grad()
    def detect(self, batch: SliceBatch) -> Detection:
        """Detect anomalies in slices (docs/method.md section 6); labels in the batch are not looked at."""
        quantised, restoration, probability = self._look(batch.image)
        if self.scorer.mirror:
            probability = (probability + self._look(batch.image.flip(3))[2].flip(2)) / 2
        if self.scorer.repair_rounds:
            flagged = (probability >= 0.5)[:, None]
            repaired = repair_tokens(to_grid(quantised), flagged, self.scorer.repair_rounds)
            restoration = self.detector.restore(self.detector.vqvae.quantiser(to_tokens(repaired)).tokens)
        anomaly_map = self.scorer.anomaly_map(batch.image, restoration, probability)
        return Detection(anomaly_map, self.scorer.score(anomaly_map, batch.lung_mask), probability, restoration)

    def factors(self, image: Tensor, detection: Detection) -> dict[str, Tensor]:
        """Return the maps that the anomaly map is the product of, name -> [B, 1, S, S]."""
        return {
            "residual": self.scorer.anomaly_map.residual_map(image, detection.restoration),
            "probability": self.scorer.anomaly_map.probability_map(detection.probability, image.shape[-1]),
        }

    def _look(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # Tokens [B, N, C], restoration [B, 1, S, S] and probability [B, h, w] of slices [B, 1, S, S].
        latent = self.detector.vqvae.encode(image)
        quantised = self.detector.vqvae.quantiser(latent).tokens
        restoration = self.detector.restore(quantised)
        return quantised, restoration, self._probability(quantised, latent, image - restoration)

    def _probability(self, quantised: Tensor, latent: Tensor, residual: Tensor) -> Tensor:
        return to_grid(self.detector.classify(quantised, latent, residual).sigmoid()[..., None])[:, 0]  # [B, h, w]

    @torch.no_grad()
    def panel(self, batch: SliceBatch) -> dict[str, Tensor]:
        """Return pictures of a batch with synthetic anomalies, name -> [B, 3, S, S].

        Slice, corrupted tokens (outlined), restoration from them, anomaly map (full scale 0.25).
        """
        corrupted = self.corrupt(batch)
        restored = self.detector.restore(corrupted.quantised)
        residual = corrupted.observed - restored
        probability = self._probability(corrupted.quantised, corrupted.latent, residual)
        maps = self.scorer.anomaly_map(corrupted.observed, restored, probability)
        seen = [grey(image[0]) for image in corrupted.observed]
        edges = [outline(mask[0]) for mask in corrupted.pixel_mask]
        return {
            "slice": torch.stack(seen),
            "corrupted": torch.stack([paint(*pair, (0.1, 1.0, 0.3)) for pair in zip(seen, edges, strict=True)]),
            "restoration": torch.stack([grey(image[0]) for image in restored]),
            "anomaly map": torch.stack([heat(image[0] / 0.25) for image in maps]),
        }

    def configure_optimizers(self) -> dict[str, Any]:
        """Build the optimiser over restorer and classifier; the codebook's parameters require no gradient."""
        return self.optimisation.configure(self.detector, self.trainer.estimated_stepping_batches)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the run's settings beside the weights, so that a checkpoint can be opened on its own."""
        checkpoint["settings"] = self.settings
