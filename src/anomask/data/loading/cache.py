"""Decoded slices in files that every process maps into memory: a PNG is decoded once, not once a run and process."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
import scipy
import torch
from filelock import FileLock, Timeout
from monai.transforms import Transform

from anomask.data.folder.hashing import file_hash, file_hashes
from anomask.data.folder.reading import open_image
from anomask.data.folder.records import SliceRecord
from anomask.data.loading.frame import Frame
from anomask.data.loading.slices import LoadSlice, batch_fields
from anomask.errors import DataError
from anomask.parallel import in_parallel

log = logging.getLogger(__name__)

VERSION = 1  # raise it when LoadSlice or estimate_lungs gives other numbers for the same file
FILES = ("image.npy", "masks.npy", "frame.npy")
MASK, LUNG = 1, 2  # bits of a pixel in masks.npy


class DecodedSlices(Transform):
    """Gives what `LoadSlice` gives, to the last bit, from the files in ``<folder>/<key>/``, see `FILES`.

    The key is a hash of the contents of all files (the window is in the pixels), of what `LoadSlice` is set to and of
    the libraries that resize and estimate lungs. So a changed file, whatever its size and time, means another key.
    Images are uint8 where the slices have the model's size, which loses nothing, and float32 where they are resized.

    One process builds while others wait for its lock, which the system frees when the process is killed. What is
    being built has another name until it is whole, and what a killed process left is removed by the next one.

    Args:
        folder: parent of the files.
        records: slices, in the order of the rows.
        load: how a slice is read.
        progress: whether building shows a progress bar.
    """

    def __init__(self, folder: Path, records: Sequence[SliceRecord], load: LoadSlice, progress: bool) -> None:
        self.folder, self.records, self.load, self.progress = folder, list(records), load, progress
        self.size = load.size
        self.rows = {record.name: row for row, record in enumerate(self.records)}
        self.key = self._key()
        self.place = folder / self.key
        self._arrays: tuple[np.ndarray, ...] | None = None

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of the slice of `item`: its `row` and `record`."""
        if self._arrays is None:
            self._arrays = tuple(np.load(self.place / name, mmap_mode="r") for name in FILES)
        images, masks, frames = self._arrays
        row = self.rows[item["record"].name]
        image = images[row] / 255.0 if images.dtype == np.uint8 else images[row]
        image = torch.from_numpy(image.astype(np.float32))  # a copy: nobody can write into the file
        mask, lung = (torch.from_numpy(masks[row] & bit > 0) for bit in (MASK, LUNG))
        return batch_fields(item, image, mask, lung, Frame(*frames[row].tolist()))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapped files out: a worker process maps them itself."""
        return self.__dict__ | {"_arrays": None}

    def build(self) -> None:
        """Decode all slices, unless that was done before or another process does it now.

        Raises:
            DataError: a slice that cannot be used, or that was changed while it was decoded.
        """
        if not self.place.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                if not self.place.is_dir():  # nobody built it while this process waited
                    _remove_left_over(self.folder, self.key)
                    self._build()
        size = sum(file.stat().st_size for file in self.place.iterdir())
        log.info("%d decoded slices, %.2f GB: %s", len(self.records), size / 1e9, self.place)

    def _build(self) -> None:
        part = _part(self.folder, self.key)
        part.mkdir()
        try:
            self._write(part)
            if self._key() != self.key:
                raise DataError("slices were changed while they were decoded. Start again when nobody writes to them.")
            os.rename(part, self.place)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _write(self, part: Path) -> None:
        shape = (len(self.records), 1, self.size, self.size)
        items = [{"row": row, "record": record} for row, record in enumerate(self.records)]
        dtype = np.dtype(np.uint8 if self._lossless() else np.float32)
        frames = []
        # Written, not mapped: on a full disk a mapped file kills the process, a written one is an error.
        with _npy(part / "image.npy", dtype, shape) as images, _npy(part / "masks.npy", np.dtype("u1"), shape) as masks:
            for fields in in_parallel(self.load, items, "decode", self.progress):
                image = fields["image"].numpy()
                images.write((np.rint(image * 255) if dtype == np.uint8 else image).astype(dtype).tobytes())
                bits = MASK * fields["mask"].numpy() + LUNG * fields["lung_mask"].numpy()
                masks.write(bits.astype(np.uint8).tobytes())
                frames.append(fields["frame"].numpy())
        np.save(part / "frame.npy", np.stack(frames))

    def _lossless(self) -> bool:
        whole = self.load.crop == "none"  # what is cut out is resized
        return whole and all(max(open_image(record.path).size) == self.size for record in self.records)

    def _key(self) -> str:
        files = [path for r in self.records for path in (r.path, r.mask, r.lung_mask) if path is not None]
        file_hashes(files)  # in parallel
        rows = [(r.label, *(path and file_hash(path) for path in (r.path, r.mask, r.lung_mask))) for r in self.records]
        libraries = (PIL.__version__, np.__version__, scipy.__version__)
        about = (VERSION, self.size, self.load.lung_masks, self.load.crop, libraries, rows)
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = _lock(self.folder, self.key)
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            log.info("waiting for another process that decodes the same slices")
            held = lock.acquire()
        with held:
            yield


def _part(folder: Path, key: str) -> Path:
    return folder / f".{key}.part"


def _lock(folder: Path, key: str) -> FileLock:
    return FileLock(folder / f".{key}.lock")


def _remove_left_over(folder: Path, own: str) -> None:
    """Remove what killed processes left: unfinished caches that nobody holds the lock of, `own` being held by us."""
    for part in folder.glob(".*.part"):
        key = part.name[1 : -len(".part")]
        with suppress(Timeout):  # someone is building it
            if key == own:
                shutil.rmtree(part)
            else:
                with _lock(folder, key).acquire(timeout=0):
                    shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _npy(file: Path, dtype: np.dtype, shape: tuple[int, ...]) -> Iterator[BinaryIO]:
    with file.open("wb") as stream:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        yield stream
        stream.flush()
        os.fsync(stream.fileno())  # before the folder gets its final name, also if the machine loses power
