"""What the files of a run folder are called."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunPaths:
    """One training run's folder.

    ``config.yaml`` settings, resolved · ``checkpoints/best.ckpt, last.ckpt`` · ``threshold.json`` decision threshold ·
    ``normal_scores.json`` of validation normals ·
    ``validation.json`` the figure that chose `best` · ``fingerprint.json`` the data it learned from · ``cost.json`` ·
    ``training_slices.csv`` which slices · ``floors.npz`` what its training normals are like ·
    ``failure.json`` where it broke off ·
    ``pictures/`` training panels · ``evaluation/<name>/`` results · ``predictions/<name>/`` of new slices ·
    ``metrics.csv`` where logger=csv · ``wandb.json`` and ``wandb/`` where logger=wandb.
    """

    folder: Path

    @property
    def settings_file(self) -> Path:
        """The run's settings as YAML."""
        return self.folder / "config.yaml"

    @property
    def threshold_file(self) -> Path:
        """The decision threshold and what it means."""
        return self.folder / "threshold.json"

    @property
    def validation_file(self) -> Path:
        """The validation figure of the best checkpoint."""
        return self.folder / "validation.json"

    @property
    def cost_file(self) -> Path:
        """What the training cost."""
        return self.folder / "cost.json"

    @property
    def normal_scores_file(self) -> Path:
        """The slice scores of the validation normals."""
        return self.folder / "normal_scores.json"

    @property
    def fingerprint_file(self) -> Path:
        """What the data of the training was."""
        return self.folder / "fingerprint.json"

    @property
    def training_slices_file(self) -> Path:
        """Which slices it learned from, and whose."""
        return self.folder / "training_slices.csv"

    @property
    def floors_file(self) -> Path:
        """What an evaluation on test slices alone needs of the training normals."""
        return self.folder / "floors.npz"

    @property
    def wandb_file(self) -> Path:
        """The id of its W&B run, and the highest step given to it."""
        return self.folder / "wandb.json"

    def checkpoint_file(self, which: str) -> Path:
        """The checkpoint `best` or `last`."""
        return self.folder / "checkpoints" / f"{which}.ckpt"

    def evaluation_folder(self, name: str) -> Path:
        """Where the results on the data set `name` go."""
        return self.folder / "evaluation" / name

    def prediction_folder(self, name: str) -> Path:
        """Where the predictions of the input `name` go."""
        return self.folder / "predictions" / name
