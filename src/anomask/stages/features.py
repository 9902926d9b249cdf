"""Frozen features: computed from the codebook, and kept for slices that are not augmented."""

import hashlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from anomask.batches import FrozenFeatures, SliceBatch
from anomask.models.tokens import patch_mean
from anomask.models.vqvae import VQVAE
from anomask.progress import bar

log = logging.getLogger(__name__)


class FrozenFeatureSource:
    """Computes tokens, codes, salience and residual of a batch with the frozen codebook.

    Args:
        vqvae: the frozen codebook.
        salience: tokens [B, N, C] -> salience [B, N].
    """

    def __init__(self, vqvae: VQVAE, salience: Callable[[Tensor], Tensor]) -> None:
        self.vqvae, self.salience = vqvae, salience

    @torch.no_grad()
    def __call__(self, batch: SliceBatch) -> FrozenFeatures:
        """Compute the features of a batch of slices."""
        tokens = self.vqvae.encode(batch.image).float()
        quantised = self.vqvae.quantiser(tokens)
        residual = patch_mean((self.vqvae.decode(quantised.tokens) - batch.image).abs(), self.vqvae.stride)
        return FrozenFeatures(tokens, quantised.tokens, quantised.codes[..., 0], self.salience(tokens), residual)


class FeatureCache:
    """The frozen features of a whole set, by row; in memory, or in files that outlive the run.

    The files' folder is named by a hash of the codebook's weights, the settings and the slices, so features of
    another codebook or another set are never picked up.

    Args:
        source: what computes features.
        n_slices: rows of the set.
        n_tokens: N.
        folder: parent of the files, or None to keep all in memory.
        key: hash of everything the features depend on, see `cache_key`.
    """

    def __init__(
        self, source: FrozenFeatureSource, n_slices: int, n_tokens: int, folder: Path | None, key: str
    ) -> None:
        self.source = source
        width = source.vqvae.quantiser.width
        self.shapes = {
            "tokens": (n_slices, n_tokens, width),
            "quantised": (n_slices, n_tokens, width),
            "codes": (n_slices, n_tokens),
            "salience": (n_slices, n_tokens),
            "residual": (n_slices, n_tokens),
        }
        self.folder = None if folder is None else folder / key
        self.arrays: dict[str, np.ndarray] = {}

    @property
    def size_bytes(self) -> int:
        """Bytes that the whole cache takes."""
        return sum(int(np.prod(shape)) * (8 if name == "codes" else 4) for name, shape in self.shapes.items())

    def fill(self, batches: Iterable[SliceBatch], device: torch.device) -> None:
        """Compute every row, or open the files where an earlier run left them; one process writes, others wait.

        Args:
            batches: the set once, in any order, not augmented.
            device: where the source's model lives.
        """
        if self.folder is None:
            self._compute(batches, device)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):  # the system frees it when the process is killed
            if not (self.folder / "complete").exists():
                self._compute(batches, device)
                (self.folder / "complete").touch()  # last: a killed run leaves no marker and is computed again
        log.info("frozen features: %.2f GB from %s", self.size_bytes / 1e9, self.folder)
        self._open("r")

    def _compute(self, batches: Iterable[SliceBatch], device: torch.device) -> None:
        log.info("frozen features: %.2f GB to %s, once", self.size_bytes / 1e9, self.folder or "memory")
        self._open("w+")
        for batch in bar(batches, "frozen features", "batch"):
            rows = batch.index.numpy()
            features = self.source(SliceBatch(*(part.to(device) for part in batch)))
            for name, value in features._asdict().items():
                self.arrays[name][rows] = value.cpu().numpy()
        if self.folder is not None:
            for array in self.arrays.values():
                array.flush()

    def __call__(self, batch: SliceBatch) -> FrozenFeatures:
        """Return the features of a batch by its rows."""
        rows = batch.index.cpu().numpy()
        return FrozenFeatures(
            **{name: torch.from_numpy(array[rows]).to(batch.image.device) for name, array in self.arrays.items()}
        )

    def _open(self, mode: str) -> None:
        for name, shape in self.shapes.items():
            dtype = np.int64 if name == "codes" else np.float32
            if self.folder is None:
                self.arrays[name] = np.empty(shape, dtype)
            else:
                file = str(self.folder / f"{name}.npy")
                wanted = None if mode == "r" else shape
                self.arrays[name] = np.lib.format.open_memmap(file, mode, dtype, wanted)


def cache_key(vqvae: VQVAE, salience_settings: dict, slice_hashes: list[str]) -> str:
    """Return a hash of everything that frozen features depend on: weights, salience settings and slices."""
    digest = hashlib.sha256(repr((vqvae.size, sorted(salience_settings.items()), slice_hashes)).encode())
    for name, value in sorted(vqvae.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]
