"""What is fixed on training normals before anything is compared with a model: kept with a run, for test sets alone."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from anomask.metrics.trivial import PixelFloors, trivial_features
from anomask.reading import read_arrays


class Floors(NamedTuple):
    """Maps without a model, and the trivial features of training normals."""

    maps: PixelFloors
    features: np.ndarray  # [m, 3]

    def save(self, file: Path) -> None:
        """Write them to an .npz file."""
        about = {"mean": self.maps.mean.numpy(), "std": self.maps.std.numpy(), "features": self.features}
        with file.open("wb") as stream:
            np.savez_compressed(stream, **about)


def floors_of(normals: Iterable[Tensor]) -> Floors:
    """Fix the floors on batches of training normals, [B, 1, S, S] in [0, 1], in one pass."""
    features = []

    def looked_at() -> Iterator[Tensor]:
        for image in normals:
            features.append(trivial_features(image))
            yield image

    maps = PixelFloors(looked_at())
    return Floors(maps, torch.cat(features).numpy())


def read_floors(file: Path) -> Floors:
    """Read what `Floors.save` wrote.

    Raises:
        RunError: the file is damaged.
    """
    return read_arrays(file, _floors, "Remove it: evaluation on a folder with training normals does without.")


def _floors(known: dict[str, np.ndarray]) -> Floors:
    mean, std = (torch.from_numpy(known[name]) for name in ("mean", "std"))
    if mean.shape != std.shape or known["features"].ndim != 2:
        raise ValueError("its arrays do not belong together")
    return Floors(PixelFloors.of(mean, std), known["features"])
