"""Stage 2, *detector*: restorer and classifier learn from synthetic anomalies (method.md sections 3 to 6)."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from anomask.batches import Classification, Detection, SliceBatch
from anomask.losses.neighbourhood import NeighbourhoodLoss, token_counts
from anomask.losses.pixel import PixelLoss
from anomask.metrics.pixel import PixelMetrics
from anomask.models.detector import Detector
from anomask.models.distributed import all_mean, all_means
from anomask.models.tokens import to_grid, to_tokens
from anomask.scoring.colour import grey, heat, outline, paint
from anomask.scoring.repair import repair_tokens
from anomask.scoring.scorer import Scorer
from anomask.stages.corruption import Corrupted, Corrupter
from anomask.stages.features import FeatureCache, FrozenFeatureSource
from anomask.stages.optimisation import Optimisation, require_finite
from anomask.stages.seeding import slice_draws, step_seed


class DetectorStage(pl.LightningModule):
    """Trains restorer and classifier on top of a frozen codebook, and detects.

    Args:
        detector: the networks; only restorer and classifier are trained.
        corrupter: makes the synthetic anomalies of training and validation.
        features: the frozen features of a batch.
        loss: restoration and weighted classification of tokens.
        pixel_loss: of the refiner, where the detector has one.
        scorer: anomaly map and slice score.
        optimisation: optimiser and schedule; None where nothing is trained.
        seed: of every draw; a slice's corruption depends on it, the step and the slice's row.
        settings: the run's settings as plain values, written into every checkpoint.
    """

    def __init__(
        self,
        detector: Detector,
        corrupter: Corrupter,
        features: FrozenFeatureSource,
        loss: NeighbourhoodLoss,
        pixel_loss: PixelLoss | None,
        scorer: Scorer,
        optimisation: Optimisation | None,
        seed: int,
        settings: dict[str, Any],
    ) -> None:
        super().__init__()
        self.detector, self.corrupter, self.features = detector, corrupter, features
        self.loss, self.pixel_loss, self.scorer, self.optimisation = loss, pixel_loss, scorer, optimisation
        self.seed, self.settings = seed, settings
        self.cache: FeatureCache | None = None  # set before training where slices are not augmented
        self.synthetic_pixels = PixelMetrics()

    def training_step(self, batch: SliceBatch, batch_idx: int) -> Tensor:
        """Corrupt the batch, then restore and classify it."""
        place = (self.seed, self.global_step, batch_idx, self.global_rank)
        torch.manual_seed(step_seed(*place))  # dropout has no generator argument; this keeps resumed runs exact
        features = self.features if self.cache is None else self.cache
        corrupted = self.corrupter(batch, features, slice_draws(batch.index, self.seed, self.global_step))
        restored, classified = self._answer(corrupted)
        values = self._losses(batch, corrupted, restored, classified, all_mean(token_counts(corrupted.mask)))
        self.log_dict(all_means({f"train/{name}": value for name, value in values.items()}))
        return require_finite(values["loss"], self.global_step)

    def validation_step(self, batch: SliceBatch, batch_idx: int) -> None:
        """Map validation normals as they are, and the same slices with synthetic anomalies that never change."""
        whole = self._seen(batch.image)[0]
        corrupted = self.corrupt(batch)
        restored, classified = self._answer(corrupted)
        anomaly_map = self.scorer.anomaly_map(corrupted.observed, restored, finest(classified))
        # The whole slice alone chooses `best`: crops would take several times as long.
        self.synthetic_pixels.update(whole, torch.zeros_like(corrupted.pixel_mask))
        self.synthetic_pixels.update(anomaly_map, corrupted.pixel_mask)
        values = self._losses(batch, corrupted, restored, classified, None)
        values = {f"val/{name}": value for name, value in values.items()}
        self.log_dict(values, batch_size=len(batch.image), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Log how well synthetic anomalies are localised; `best` is the highest average precision."""
        result = self.synthetic_pixels.compute()
        self.synthetic_pixels.reset()
        self.log("val/synthetic_ap", result["ap"] or 0.0, prog_bar=True)
        self.log("val/synthetic_auroc", result["auroc"] or 0.0)

    def corrupt(self, batch: SliceBatch) -> Corrupted:
        """Return the batch with validation's synthetic anomalies: a slice gets the same ones at every call."""
        return self.corrupter(batch, self.features, slice_draws(batch.index, self.seed))

    @torch.no_grad()
    def detect(self, batch: SliceBatch) -> Detection:
        """Detect anomalies in slices (method.md section 6); labels in the batch are not looked at."""
        anomaly_map, *about = self._seen(batch.image)
        if (crops := self.scorer.crops) is not None:
            joined = crops.join([self._seen(crop)[0] for crop in crops.cut(batch.image)])
            anomaly_map = (anomaly_map + joined) / 2
        return Detection(anomaly_map, self.scorer.score(anomaly_map, batch.lung_mask), *about)

    def _seen(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        # Map [B, 1, S, S], token probability, restoration and refined probability of slices and their mirror images.
        quantised, restoration, probability, refined = self._look(image)
        if self.scorer.mirror:
            *_, mirrored, mirrored_refined = self._look(image.flip(3))
            probability = (probability + mirrored.flip(2)) / 2
            refined = None if refined is None else (refined + mirrored_refined.flip(2)) / 2
        if self.scorer.repair_rounds:
            flagged = (probability >= 0.5)[:, None]
            repaired = repair_tokens(to_grid(quantised), flagged, self.scorer.repair_rounds)
            restoration = self.detector.restore(self.detector.vqvae.quantiser(to_tokens(repaired)).tokens)
        certainty = probability if refined is None else refined
        return self.scorer.anomaly_map(image, restoration, certainty), probability, restoration, refined

    def factors(self, image: Tensor, detection: Detection) -> dict[str, Tensor]:
        """Return what the anomaly map is made of, the probability that of tokens, name -> [B, 1, S, S]."""
        maker, size = self.scorer.anomaly_map, image.shape[-1]
        found = {
            "residual": maker.residual_map(image, detection.restoration),
            "probability": maker.probability_map(detection.probability, size),
        }
        if detection.refined is not None and maker.map == "product":
            found["refined probability"] = maker.probability_map(detection.refined, size)
        return found

    def _look(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        # Tokens [B, N, C], restoration [B, 1, S, S], probability [B, h, w] and refined [B, S, S] of slices.
        latent = self.detector.vqvae.encode(image)
        quantised = self.detector.vqvae.quantiser(latent).tokens
        restoration = self.detector.restore(quantised)
        return quantised, restoration, *probabilities(self.detector.classify(quantised, latent, image, restoration))

    def _answer(self, corrupted: Corrupted) -> tuple[Tensor, Classification]:
        # Restoration [B, 1, S, S] and classification of a corrupted batch.
        restored = self.detector.restore(corrupted.quantised)
        return restored, self.detector.classify(corrupted.quantised, corrupted.latent, corrupted.observed, restored)

    def _losses(
        self,
        batch: SliceBatch,
        corrupted: Corrupted,
        restored: Tensor,
        classified: Classification,
        counts: Tensor | None,
    ) -> dict[str, Tensor]:
        # The total as `loss`, and its parts.
        stride = self.detector.vqvae.stride
        losses = self.loss(batch.image, restored, classified.tokens, corrupted.mask, stride, self.global_step, counts)
        values = {"loss": losses.total, **losses._asdict()}
        del values["total"]
        if classified.pixels is not None:
            values["pixel"] = self.pixel_loss(classified.pixels, corrupted.pixel_mask, corrupted.painted)
            values["loss"] = values["loss"] + values["pixel"]
        return values

    @torch.no_grad()
    def panel(self, batch: SliceBatch) -> dict[str, Tensor]:
        """Return pictures of a batch with synthetic anomalies, name -> [B, 3, S, S].

        Slice, corrupted tokens (outlined), restoration from them, anomaly map.
        """
        corrupted = self.corrupt(batch)
        restored, classified = self._answer(corrupted)
        maps = self.scorer.anomaly_map(corrupted.observed, restored, finest(classified))
        seen = [grey(image[0]) for image in corrupted.observed]
        edges = [outline(mask[0]) for mask in corrupted.pixel_mask]
        return {
            "slice": torch.stack(seen),
            "corrupted": torch.stack([paint(*pair, (0.1, 1.0, 0.3)) for pair in zip(seen, edges, strict=True)]),
            "restoration": torch.stack([grey(image[0]) for image in restored]),
            "anomaly map": torch.stack([heat(image[0] / self.scorer.anomaly_map.full_scale) for image in maps]),
        }

    def configure_optimizers(self) -> dict[str, Any]:
        """Build the optimiser over restorer and classifier; the codebook's parameters require no gradient."""
        return self.optimisation.configure(self.detector, self.trainer.estimated_stepping_batches)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the run's settings beside the weights, so that a checkpoint can be opened on its own."""
        checkpoint["settings"] = self.settings


def probabilities(classified: Classification) -> tuple[Tensor, Tensor | None]:
    """Return the probabilities of tokens [B, h, w] and of pixels [B, S, S]; None without a refiner."""
    tokens = to_grid(classified.tokens.sigmoid()[..., None])[:, 0]
    return tokens, None if classified.pixels is None else classified.pixels.sigmoid()[:, 0]


def finest(classified: Classification) -> Tensor:
    """Return the probabilities of pixels [B, S, S], or of tokens [B, h, w] where there is no refiner."""
    tokens, pixels = probabilities(classified)
    return tokens if pixels is None else pixels
