"""Stage 1, *codebook*: a VQ-VAE learns the codes of normal lung (method.md section 2)."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from anomask.batches import SliceBatch
from anomask.losses.codebook import CodebookLoss
from anomask.metrics.codebook_usage import CodebookUsage
from anomask.models.distributed import all_means, all_sum
from anomask.models.vqvae import VQVAE
from anomask.scoring.colour import grey, heat
from anomask.stages.optimisation import Optimisation, require_finite
from anomask.stages.seeding import step_generator


class CodebookStage(pl.LightningModule):
    """Trains encoder, codebook and decoder on normal slices.

    Args:
        vqvae: the model.
        loss: reconstruction and commitment.
        optimisation: optimiser and schedule; None where nothing is trained.
        seed: of the codebook's start and restarts; the same in every process.
        settings: the run's settings as plain values, written into every checkpoint.
    """

    def __init__(
        self,
        vqvae: VQVAE,
        loss: CodebookLoss,
        optimisation: Optimisation | None,
        seed: int,
        settings: dict[str, Any],
    ) -> None:
        super().__init__()
        self.vqvae, self.loss, self.optimisation = vqvae, loss, optimisation
        self.seed, self.settings = seed, settings
        self.usage = CodebookUsage(vqvae.quantiser.n_codes)

    def training_step(self, batch: SliceBatch, batch_idx: int) -> Tensor:
        """Take one step; the codebook moves by its averages, not by the gradient."""
        quantiser = self.vqvae.quantiser
        generator = step_generator(self.seed, self.global_step, batch_idx)
        if int(quantiser.updates) == 0:
            quantiser.initialise(self.vqvae.encode(batch.image).detach(), generator)
        reconstructed, tokens, quantised = self.vqvae(batch.image)
        losses = self.loss(batch.image, reconstructed, tokens, quantised.tokens)
        restarted = quantiser.update(quantised, generator)
        if batch_idx == 0:  # no hook tells the start of an epoch in a run that goes on
            self.usage.reset()
        self.usage.update(quantised.codes)
        values = {
            "train/loss": losses.total,
            "train/reconstruction": losses.reconstruction,
            "train/commitment": losses.commitment,
            "codebook/restarted_share": restarted,
        }
        self.log_dict(all_means(values))
        return require_finite(losses.total, self.global_step)

    def on_train_epoch_end(self) -> None:
        """Log how much of the codebook the epoch used."""
        self.log_dict({f"codebook/{name}": value for name, value in self.usage.compute().items()})

    def validation_step(self, batch: SliceBatch, batch_idx: int) -> None:
        """Log the loss on validation normals; `best` is the lowest reconstruction error."""
        reconstructed, tokens, quantised = self.vqvae(batch.image)
        losses = self.loss(batch.image, reconstructed, tokens, quantised.tokens)
        values = {"val/loss": losses.total, "val/reconstruction": losses.reconstruction}
        self.log_dict(values, batch_size=len(batch.image), prog_bar=True, sync_dist=True)

    @torch.no_grad()
    def panel(self, batch: SliceBatch) -> dict[str, Tensor]:
        """Return pictures of a batch, name -> [B, 3, S, S]: slice, reconstruction, residual (full scale 0.25)."""
        reconstructed, _, _ = self.vqvae(batch.image)
        residual = (reconstructed - batch.image).abs() / 0.25
        return {
            "slice": torch.stack([grey(image[0]) for image in batch.image]),
            "reconstruction": torch.stack([grey(image[0]) for image in reconstructed]),
            "residual": torch.stack([heat(image[0]) for image in residual]),
        }

    def configure_optimizers(self) -> dict[str, Any]:
        """Build the optimiser over encoder and decoder."""
        return self.optimisation.configure(self.vqvae, self.trainer.estimated_stepping_batches)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the run's settings beside the weights, so that a checkpoint can be opened on its own."""
        checkpoint["settings"] = self.settings
        checkpoint["code_counts"] = all_sum(self.usage.counts)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on counting the codes of an epoch; the first process has what all had counted."""
        if "code_counts" in checkpoint and self.global_rank == 0:  # runs of before it have none
            self.usage.counts = checkpoint["code_counts"].to(self.usage.counts)
