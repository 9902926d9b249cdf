"""Slices and masks at the model's size, as rows of a data set."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, MetaTensor, get_track_meta, set_track_meta
from monai.transforms import Compose, Transform
from PIL import Image

from anomask.batches import SliceBatch
from anomask.data.folder.masks import lesion_on_normal
from anomask.data.folder.reading import read_mask, read_slice
from anomask.data.folder.records import SliceRecord
from anomask.data.loading.frame import WHOLE, Frame, cut, frame_px, lung_frame, paste
from anomask.data.lungs import estimate_lungs
from anomask.errors import find_user_error
from anomask.progress import drawn

log = logging.getLogger(__name__)


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


def to_input(pixels: np.ndarray, size: int, frame: Frame = WHOLE) -> torch.Tensor:
    """Turn a slice [H, W] uint8 into the model's [1, S, S] in [0, 1].

    It is padded to a square with its darkest value, cut to the frame, then resized.
    """
    return resize(cut(to_square(pixels / 255.0, pixels.min() / 255.0), frame), size).clamp(0.0, 1.0)


def to_source(values: torch.Tensor, shape: tuple[int, int], frame: Frame = WHOLE) -> np.ndarray:
    """Undo `to_input` for a map [1, S, S]: [H, W] float32 of the slice's own `shape`, 0 outside the frame."""
    height, width = shape
    side = max(height, width)
    square = paste(resize(values[0].cpu().numpy(), frame_px(frame, side))[0].numpy(), frame, side)
    top, left = (side - height) // 2, (side - width) // 2
    return square[top : top + height, left : left + width]


class LoadSlice(Transform):
    """Turns a record into the fields of a `SliceBatch`, at the model's size.

    Args:
        size: S, side of the result in pixels.
        lung_masks: 'estimate' where none came with the slice, or 'given': the whole slice counts as lung there.
        crop: 'none', or 'lungs': the box of the lungs, see `anomask.data.loading.frame.lung_frame`. They are
            estimated even where a lung mask came with the slice: a new one comes without, and has to be framed alike.

    Raises:
        DataError: files that cannot be used, and a lesion mask that is not empty on a normal slice.
    """

    def __init__(self, size: int, lung_masks: str, crop: str = "none") -> None:
        self.size, self.lung_masks, self.crop = size, lung_masks, crop

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Load the slice of `item`: its `row` and `record`."""
        record = item["record"]
        pixels = read_slice(record.path)
        if record.label == "normal" and bool(self._mask(record.mask, pixels.shape, WHOLE).any()):
            raise lesion_on_normal(record).error()
        estimate = record.lung_mask is None and self.lung_masks == "estimate"
        image, lung, frame = framed_slice(pixels, self.size, self.crop, estimate)
        if record.lung_mask is not None:
            lung = self._mask(record.lung_mask, pixels.shape, frame)
        return batch_fields(item, image, self._mask(record.mask, pixels.shape, frame), lung, frame)

    def _mask(self, path: Path | None, shape: tuple[int, int], frame: Frame) -> torch.Tensor:
        if path is None:
            return torch.zeros(1, self.size, self.size, dtype=torch.bool)
        return resize(cut(to_square(read_mask(path, shape), False), frame), self.size) >= 0.5


def framed_slice(pixels: np.ndarray, size: int, crop: str, estimate: bool) -> tuple[torch.Tensor, torch.Tensor, Frame]:
    """Turn a slice [H, W] uint8 into the model's slice [1, S, S], lungs [1, S, S] bool, and the frame of both.

    Args:
        pixels: of the slice.
        size: S.
        crop: 'none' or 'lungs'.
        estimate: whether the lungs are wanted; without, and without crop, all pixels count as lung.
    """
    image, lung, frame = to_input(pixels, size), np.ones((size, size), bool), WHOLE
    if estimate or crop == "lungs":
        lung = estimate_lungs(image[0].numpy())  # of the whole slice: without the body around it lung is not told apart
    if crop == "lungs":
        frame = lung_frame(lung)
        image = to_input(pixels, size, frame)
        lung = resize(cut(lung, frame), size)[0].numpy() >= 0.5
    return image, torch.from_numpy(lung if estimate else np.ones_like(lung))[None], frame


def batch_fields(
    item: dict[str, Any], image: torch.Tensor, mask: torch.Tensor, lung_mask: torch.Tensor, frame: Frame
) -> dict[str, Any]:
    """Return the fields of a `SliceBatch` for the slice of `item`: its `row` and `record`."""
    record = item["record"]
    return {
        "image": image,
        "index": torch.tensor(item["row"]),
        "mask": mask,
        "lung_mask": lung_mask,
        "has_mask": torch.tensor(record.label == "normal" or record.mask is not None),
        "has_lung_mask": torch.tensor(record.lung_mask is not None),
        "frame": torch.tensor(frame, dtype=torch.float32),
    }


class SliceDataset(CacheDataset):
    """Slices in memory, loaded once with a progress bar; random augmentations run after the cache.

    Args:
        records: what to load; their order is the row order.
        load: a `LoadSlice`, or what gives the same fields from files decoded before.
        augment: MONAI dictionary transforms on the fields of a `SliceBatch`, or None.
        cache_rate: share of the slices kept in memory, in [0, 1]; the rest is read each time.
        progress: whether to show a progress bar.
        seed: of the augmentations, which are a function of it, the epoch and the row alone: they are the same in any
            number of processes, in loader processes, and in a resumed run.
    """

    epoch = 0  # set by the training loader

    def __init__(
        self,
        records: Sequence[SliceRecord],
        load: Transform,
        augment: list[Callable] | None,
        cache_rate: float,
        progress: bool,
        seed: int,
    ) -> None:
        self.records = list(records)
        held = cache_rate * len(records) * load.size**2 * 6 / 1e9  # float32 image and two masks a pixel
        if held > 1:
            log.info("keeping %.1f GB of slices in memory; data.cache_rate < 1 keeps less", held)
        transform = Compose([load, *(augment or [])])
        self.seed, self.augmented, self.load = seed, bool(augment), load
        items = [{"row": row, "record": record} for row, record in enumerate(self.records)]
        try:
            # Some transforms work in place: without a copy they would change the cached slice a bit more each epoch.
            super().__init__(
                items, transform, cache_rate=cache_rate, progress=drawn(progress), copy_cache=self.augmented
            )
        except RuntimeError as error:
            raise find_user_error(error) or error from None  # MONAI wraps what a transform raises

    def plain(self) -> "SliceDataset":
        """Return the same rows without augmentation; what is in memory is shared."""
        rows = copy(self)
        rows.augmented, rows.transform = False, Compose([self.load])
        return rows

    def __getitem__(self, row: int) -> SliceBatch:
        """Return row `row` as a `SliceBatch` without its batch dimension."""
        if self.augmented:
            place = np.random.SeedSequence((self.seed, self.epoch, row))
            self.transform.set_random_state(int(place.generate_state(1)[0]))
        try:
            with _untracked():
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


@contextmanager
def _untracked() -> Iterator[None]:
    # MONAI's book-keeping of what was done to a slice costs half of the augmentation's time; nobody reads it.
    tracked = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(tracked)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    # MONAI's transforms return MetaTensors, which would slow down all that follows.
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def collate(rows: Sequence[SliceBatch]) -> SliceBatch:
    """Stack rows of a `SliceDataset` into a batch."""
    return SliceBatch(*(torch.stack(parts) for parts in zip(*rows, strict=True)))
