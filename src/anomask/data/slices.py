"""Reading slices and masks strictly, and keeping them resized in memory."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, MetaTensor
from monai.transforms import Compose, Transform
from PIL import Image

from anomask.data.lungs import estimate_lungs
from anomask.data.manifest import SliceRecord
from anomask.errors import DataError, find_user_error
from anomask.types import SliceBatch

log = logging.getLogger(__name__)


def read_slice(path: Path) -> np.ndarray:
    """Read an 8-bit grey PNG: [H, W] uint8.

    Raises:
        DataError: the file is damaged, or of another kind.
    """
    image = _decode(path)
    if image.mode != "L":
        kind = {"RGB": "RGB", "RGBA": "RGBA", "I;16": "16-bit grey", "I": "16-bit grey", "P": "palette"}
        raise DataError(
            f"{path} is {kind.get(image.mode, image.mode)}; an 8-bit grey PNG is wanted. Window it and save "
            "it as 8-bit grey (Pillow: image.convert('L') for RGB that is grey already)."
        )
    return np.asarray(image)


def read_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Read a mask: [H, W] bool.

    Args:
        path: 8-bit PNG with values 0 and 255 (or 0 and 1).
        shape: (H, W) of its slice.

    Raises:
        DataError: damaged, of another size than its slice, or with other values.
    """
    values = np.asarray(_decode(path).convert("L"))
    if values.shape != shape:
        raise DataError(
            f"{path} is {values.shape[1]}x{values.shape[0]} pixels, its slice {shape[1]}x{shape[0]}. A mask "
            "must have its slice's size."
        )
    found = set(np.unique(values).tolist())
    if not (found <= {0, 255} or found <= {0, 1}):
        raise DataError(f"{path} has values {sorted(found)[:6]}...; a mask has 0 and 255 alone. Threshold it.")
    return values > 0


def _decode(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be decoded ({error}). Copy or convert it again.") from error
    return image


def check_sizes(records: Sequence[SliceRecord], on_mixed_size: str) -> None:
    """Raise a DataError if the slices differ in size or are not square, unless `on_mixed_size` is 'pad'."""
    if on_mixed_size == "pad":
        return
    first: tuple[int, int] | None = None
    for record in records:
        with _open(record.path) as image:
            size = image.size
        first = first or size
        if size != first or size[0] != size[1]:
            other = "" if size == first else f", {records[0].name} is {first[0]}x{first[1]}"
            raise DataError(
                f"{record.name} is {size[0]}x{size[1]} pixels{other}. Square "
                "slices of one size are wanted; data.on_mixed_size=pad pads each to a square and resizes it."
            )


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except OSError as error:
        raise DataError(f"{path} cannot be decoded ({error}). Copy or convert it again.") from error


def to_square(values: np.ndarray, fill: float) -> np.ndarray:
    """Pad [H, W] evenly to a square with `fill`."""
    height, width = values.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    padding = ((top, side - height - top), (left, side - width - left))
    return np.pad(values, padding, constant_values=fill)


def resize(values: np.ndarray, size: int) -> torch.Tensor:
    """Resize a square [H, W] array with values in [0, 1] to [1, size, size] float32, averaging on the way down."""
    image = Image.fromarray(values.astype(np.float32), mode="F")
    how = Image.Resampling.BOX if size <= image.width else Image.Resampling.BILINEAR
    return torch.from_numpy(np.asarray(image.resize((size, size), how)).copy())[None]


def to_input(pixels: np.ndarray, size: int) -> torch.Tensor:
    """Turn a slice [H, W] uint8 into the model's [1, S, S] in [0, 1]: padded with its darkest value, then resized."""
    return resize(to_square(pixels / 255.0, pixels.min() / 255.0), size).clamp(0.0, 1.0)


def to_source(values: torch.Tensor, shape: tuple[int, int]) -> np.ndarray:
    """Undo `to_input`'s resizing and padding for a map [1, S, S]: [H, W] float32 of the slice's own `shape`."""
    height, width = shape
    side = max(height, width)
    square = resize(values[0].cpu().numpy(), side)[0].numpy()
    top, left = (side - height) // 2, (side - width) // 2
    return square[top : top + height, left : left + width]


class LoadSlice(Transform):
    """Turns a record into the fields of a `SliceBatch`, at the model's size.

    Args:
        size: S, side of the result in pixels.
        lung_masks: 'estimate' where none came with the slice, or 'given': the whole slice counts as lung there.

    Raises:
        DataError: files that cannot be used, and a lesion mask that is not empty on a normal slice.
    """

    def __init__(self, size: int, lung_masks: str) -> None:
        self.size, self.lung_masks = size, lung_masks

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Load the slice of `item`: its `row` and `record`."""
        index, record = item["row"], item["record"]
        pixels = read_slice(record.path)
        image = to_input(pixels, self.size)
        mask = self._mask(record.mask, pixels.shape)
        if record.label == "normal" and bool(mask.any()):
            raise DataError(
                f"{record.mask} marks a lesion on the normal slice {record.name}. Move the slice to "
                "abnormal or remove the mask."
            )
        if record.lung_mask is not None:
            lung = self._mask(record.lung_mask, pixels.shape)
        elif self.lung_masks == "estimate":
            lung = torch.from_numpy(estimate_lungs(image[0].numpy()))[None]
        else:
            lung = torch.ones_like(mask)
        return {
            "image": image,
            "index": torch.tensor(index),
            "mask": mask,
            "lung_mask": lung,
            "has_mask": torch.tensor(record.label == "normal" or record.mask is not None),
            "has_lung_mask": torch.tensor(record.lung_mask is not None),
        }

    def _mask(self, path: Path | None, shape: tuple[int, int]) -> torch.Tensor:
        if path is None:
            return torch.zeros(1, self.size, self.size, dtype=torch.bool)
        return resize(to_square(read_mask(path, shape), False), self.size) >= 0.5


class SliceDataset(CacheDataset):
    """Slices in memory, loaded once with a progress bar; random augmentations run after the cache.

    Args:
        records: what to load; their order is the row order.
        size: S, side in pixels.
        lung_masks: see `LoadSlice`.
        augment: MONAI dictionary transforms on the fields of a `SliceBatch`, or None.
        cache_rate: share of the slices kept in memory, in [0, 1]; the rest is read each time.
        progress: whether to show a progress bar.
        seed: of the augmentations.
    """

    def __init__(
        self,
        records: Sequence[SliceRecord],
        size: int,
        lung_masks: str,
        augment: list[Callable] | None,
        cache_rate: float,
        progress: bool,
        seed: int,
    ) -> None:
        self.records = list(records)
        held = cache_rate * len(records) * size * size * 6 / 1e9  # float32 image and two masks a pixel
        if held > 1:
            log.info("keeping %.1f GB of slices in memory; data.cache_rate < 1 keeps less", held)
        load = LoadSlice(size, lung_masks)
        transform = Compose([load, *(augment or [])]).set_random_state(seed)
        items = [{"row": row, "record": record} for row, record in enumerate(self.records)]
        try:
            # Some transforms work in place: without a copy they would change the cached slice a bit more each epoch.
            copy = bool(augment)
            super().__init__(items, transform, cache_rate=cache_rate, progress=progress, copy_cache=copy)
        except RuntimeError as error:
            raise find_user_error(error) or error from None  # MONAI wraps what a transform raises

    def __getitem__(self, row: int) -> SliceBatch:
        """Return row `row` as a `SliceBatch` without its batch dimension."""
        try:
            fields = super().__getitem__(row)
        except RuntimeError as error:  # a slice outside the cache
            raise find_user_error(error) or error from None
        plain = {name: _plain(torch.as_tensor(fields[name])) for name in SliceBatch._fields}
        # Augmentation leaves the range by a little noise, and turns masks into numbers.
        return SliceBatch(
            **plain
            | {
                "image": plain["image"].clamp(0.0, 1.0),
                "mask": plain["mask"] > 0.5,
                "lung_mask": plain["lung_mask"] > 0.5,
            }
        )


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    # MONAI's transforms return MetaTensors, which would slow down all that follows.
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def collate(rows: Sequence[SliceBatch]) -> SliceBatch:
    """Stack rows of a `SliceDataset` into a batch."""
    return SliceBatch(*(torch.stack(parts) for parts in zip(*rows, strict=True)))
