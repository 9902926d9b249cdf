"""A panel of pictures after each validation: to the run folder and to whatever logger the run has."""

from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.utilities import move_data_to_device
from torch import Tensor

from anomask.batches import SliceBatch
from anomask.files import whole_file


class Pictures(pl.Callback):
    """Shows the same validation slices after every validation, one row a slice.

    The stage names the columns: its method ``panel(batch)`` returns RGB pictures, name -> [B, 3, S, S] in [0, 1].

    Args:
        folder: where ``step_<n>.png`` goes.
        n_slices: rows, spread evenly over the validation set.
    """

    def __init__(self, folder: str, n_slices: int) -> None:
        self.folder, self.n_slices = Path(folder), n_slices
        self.batch: SliceBatch | None = None

    def on_validation_epoch_end(self, trainer: pl.Trainer, stage: pl.LightningModule) -> None:
        """Draw and log the panel, on the first process alone."""
        if trainer.is_global_zero and not trainer.sanity_checking and trainer.state.fn == "fit":
            if self.batch is None:
                self.batch = self._spread(trainer)
            with torch.no_grad():
                columns = stage.panel(move_data_to_device(self.batch, stage.device))
            panel = tile(columns)
            with whole_file(self.folder / f"step_{trainer.global_step:06d}.png") as file:
                Image.fromarray(panel).save(file)
            self._log(trainer, panel, " | ".join(columns))

    def _spread(self, trainer: pl.Trainer) -> SliceBatch:
        rows = trainer.datamodule.validation_set
        picked = torch.linspace(0, len(rows) - 1, min(self.n_slices, len(rows))).long().tolist()
        return SliceBatch(*(torch.stack(parts) for parts in zip(*(rows[row] for row in picked), strict=True)))

    @staticmethod
    def _log(trainer: pl.Trainer, panel: np.ndarray, caption: str) -> None:
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):  # W&B
                step = trainer.global_step - 1  # Lightning logs this step's values under its number from 0
                logger.log_image("panel", images=[panel], caption=[caption], step=step)
            elif hasattr(logger.experiment, "add_image"):  # TensorBoard
                logger.experiment.add_image("panel", panel, trainer.global_step, dataformats="HWC")


def tile(columns: dict[str, Tensor]) -> np.ndarray:
    """Lay RGB pictures out, one column a name and one row a slice, with a thin white line between them.

    Args:
        columns: name -> [B, 3, S, S] in [0, 1].

    Returns:
        [B * (S + 2), columns * (S + 2), 3] uint8
    """
    framed = [torch.nn.functional.pad(column.cpu(), (1, 1, 1, 1), value=1.0) for column in columns.values()]
    grid = torch.cat([torch.cat(list(column), dim=1) for column in framed], dim=2)
    return (grid * 255).round().byte().permute(1, 2, 0).numpy()
