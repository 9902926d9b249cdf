"""The stage of every comparison method: the same data, steps, thresholds and records as the detector's."""

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from anomask.batches import Detection, SliceBatch
from anomask.models.distributed import all_means
from anomask.scoring.colour import grey, heat
from anomask.scoring.scorer import Scorer
from anomask.stages.optimisation import Optimisation, require_finite
from anomask.stages.seeding import step_generator, step_seed

HIGHEST_NORMAL = 0.1  # a map's value at the highest pixel of the validation normals; maps are stored up to 1


class BaselineStage(pl.LightningModule):
    """Trains a comparison method, and detects with it.

    Args:
        method: an `anomask.baselines.method.Baseline`.
        scorer: slice score, the same for all methods of a table.
        optimisation: optimiser and schedule; None where nothing is trained.
        seed: of every draw.
        settings: the run's settings as plain values, written into every checkpoint.
    """

    def __init__(
        self, method: nn.Module, scorer: Scorer, optimisation: Optimisation | None, seed: int, settings: dict[str, Any]
    ) -> None:
        super().__init__()
        self.method, self.scorer, self.optimisation = method, scorer, optimisation
        self.seed, self.settings = seed, settings
        self.register_buffer("unit", torch.ones(()))  # the map's unit, see `calibrate`

    def training_step(self, batch: SliceBatch, batch_idx: int) -> Tensor:
        """Take one step of the method's own loss."""
        place = (self.seed, self.global_step, batch_idx, self.global_rank)
        torch.manual_seed(step_seed(*place))  # dropout has no generator argument; this keeps resumed runs exact
        loss = self.method.training_loss(batch, step_generator(*place))
        self.log_dict(all_means({"train/loss": loss}))
        return require_finite(loss, self.global_step)

    def validation_step(self, batch: SliceBatch, batch_idx: int) -> None:
        """Log the method's loss on draws that never change.

        Some methods detect slowly, and until training is over nobody asks for scores.
        """
        loss = self.method.training_loss(batch, step_generator(self.seed, batch_idx))
        self.log("val/loss", loss, batch_size=len(batch.image), prog_bar=True, sync_dist=True)

    @torch.no_grad()
    def fit_normals(self, normals: Iterable[Tensor]) -> None:
        """Let the method look at all training normals, batches [B, 1, S, S], once its steps are done."""
        self.eval()
        self.method.fit(normals)

    @torch.no_grad()
    def calibrate(self, normals: Iterable[Tensor]) -> None:
        """Fix the unit of the maps on validation normals, batches [B, 1, S, S]; the order of values stays.

        Distances, likelihoods and residuals then share one range for pictures and for maps in files.
        """
        self.eval()
        highest = max(float(self.method.anomaly_map(image).max()) for image in normals)
        self.unit.fill_(max(highest, 1e-12) / HIGHEST_NORMAL)

    @torch.no_grad()
    def detect(self, batch: SliceBatch) -> Detection:
        """Detect anomalies in slices; labels in the batch are not looked at."""
        anomaly_map = self.method.anomaly_map(batch.image) / self.unit
        return Detection(anomaly_map, self.scorer.score(anomaly_map, batch.lung_mask))

    def factors(self, image: Tensor, detection: Detection) -> dict[str, Tensor]:
        """Return no maps: a comparison method's map has no factors."""
        return {}

    @torch.no_grad()
    def panel(self, batch: SliceBatch) -> dict[str, Tensor]:
        """Return pictures of a batch, name -> [B, 3, S, S]: slice and map, full colour at the batch's highest value."""
        maps = self.method.anomaly_map(batch.image)
        maps = maps / maps.max().clamp(min=1e-12)
        return {
            "slice": torch.stack([grey(image[0]) for image in batch.image]),
            "anomaly map": torch.stack([heat(values[0]) for values in maps]),
        }

    def configure_optimizers(self) -> dict[str, Any]:
        """Build the optimiser over everything that is not frozen."""
        return self.optimisation.configure(self.method, self.trainer.estimated_stepping_batches)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the run's settings beside the weights, so that a checkpoint can be opened on its own."""
        checkpoint["settings"] = self.settings
