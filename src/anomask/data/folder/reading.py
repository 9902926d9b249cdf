"""Reading slices and masks strictly."""

import io
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from anomask.data.decoding import UNDECODABLE, label_values, why
from anomask.data.folder.findings import Finding
from anomask.data.folder.hashing import unreadable
from anomask.data.folder.records import SliceRecord
from anomask.errors import DataError

# Twice the side of the largest CT matrices; a small file may claim any number of pixels and fill the memory.
MOST_PIXELS = 4096**2
MARKED = (255, 1, 65535)  # the one value beside 0 that a mask has
MODES = {"RGB": "RGB", "RGBA": "RGBA", "I;16": "16-bit grey", "I": "16-bit grey", "P": "palette", "1": "1-bit"}


def read_slice(path: Path, content: bytes | None = None) -> np.ndarray:
    """Read an 8-bit grey PNG: [H, W] uint8.

    Args:
        path: of the file.
        content: of the file, where it was read before.

    Raises:
        DataError: the file is damaged, or of another kind.
    """
    image = _decode(path, content)
    if image.mode != "L":
        message = f"{path} is {MODES.get(image.mode, image.mode)}; an 8-bit grey PNG is wanted."
        remedy = "Window it and save it as 8-bit grey (Pillow: image.convert('L') for RGB that is grey already)."
        raise Finding("colour or bit depth", (path.name,), message, remedy).error()
    return np.asarray(image)


def read_mask(path: Path, shape: tuple[int, int], content: bytes | None = None) -> np.ndarray:
    """Read a mask: [H, W] bool.

    Args:
        path: 8-bit PNG with values 0 and 255 (or 0 and 1).
        shape: (H, W) of its slice.
        content: of the file, where it was read before.

    Raises:
        DataError: damaged, of another size than its slice, or with other values.
    """
    values = _label_values(_decode(path, content), path)
    if values.shape != shape:
        message = f"{path} is {values.shape[1]}x{values.shape[0]} pixels, its slice {shape[1]}x{shape[0]}."
        raise Finding("mask of another size", (path.name,), message, "A mask must have its slice's size.").error()
    found = np.unique(values).tolist()
    if not any(set(found) <= {0, marked} for marked in MARKED):
        message = f"{path} has values {found[:6]}...; a mask has 0 and 255 alone."
        raise Finding("mask values", (path.name,), message, "Threshold it.").error()
    return values > 0


def _label_values(image: Image.Image, path: Path) -> np.ndarray:
    try:
        return label_values(image, str(path))
    except DataError as error:
        raise Finding("mask values", (path.name,), str(error), "Wanted: 0 and 255 alone.").error() from error
    except UNDECODABLE as error:
        raise _damaged(path, error).error() from error


def open_image(path: Path, content: bytes | None = None) -> Image.Image:
    """Open an image without decoding it: its size and mode are known, and the size is one that a slice can have.

    Raises:
        DataError: not an image, not readable, or far too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit below is lower than Pillow's, damaged pixels are errors
            image = Image.open(path if content is None else io.BytesIO(content))
    except Image.DecompressionBombError as error:
        raise _too_large(path, "more than 178 million").error() from error
    except PermissionError as error:
        raise unreadable(str(path), error).error() from error
    except UNDECODABLE as error:
        raise _damaged(path, error).error() from error
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(path, f"{image.width}x{image.height}").error()
    return image


def _decode(path: Path, content: bytes | None) -> Image.Image:
    image = open_image(path, content)
    try:
        image.load()
    except UNDECODABLE as error:
        raise _damaged(path, error).error() from error
    return image


def _damaged(path: Path, error: Exception) -> Finding:
    # Pillow names the stream it read from, which says nothing to a user.
    reason = "it is no image" if "cannot identify" in str(error) else why(error)
    return Finding("damaged", (path.name,), f"{path} cannot be decoded ({reason}).", "Copy or convert it again.")


def _too_large(path: Path, pixels: str) -> Finding:
    message = f"{path} has {pixels} pixels; a slice has {MOST_PIXELS} (4096x4096) at most."
    return Finding("too large", (path.name,), message, "Crop or resample it.")


def check_sizes(records: Sequence[SliceRecord], on_mixed_size: str) -> list[Finding]:
    """Report slices of another size than most, or not square, from their headers alone, see `size_findings`.

    Raises:
        DataError: a file that is no image.
    """
    sizes = []
    for record in records if on_mixed_size != "pad" else ():
        with open_image(record.path) as image:
            sizes.append(image.size)
    return size_findings(records, sizes, on_mixed_size)


def size_findings(
    records: Sequence[SliceRecord], sizes: Sequence[tuple[int, int]], on_mixed_size: str
) -> list[Finding]:
    """Report slices of another size than most, or not square, unless `on_mixed_size` is 'pad'.

    Args:
        records: slices, training slices first.
        sizes: (width, height) of each.
        on_mixed_size: 'error' or 'pad'.
    """
    if on_mixed_size == "pad" or not sizes:
        return []
    usual = Counter(sizes).most_common(1)[0][0]
    example = records[sizes.index(usual)].name
    found = []
    for record, size in zip(records, sizes, strict=True):
        if size != usual or size[0] != size[1]:
            other = "" if size == usual else f", {example} is {usual[0]}x{usual[1]}"
            message = f"{record.name} is {size[0]}x{size[1]} pixels{other}."
            remedy = (
                "Square slices of one size are wanted; data.on_mixed_size=pad pads each to a square and resizes it."
            )
            found.append(Finding("size", (record.name,), message, remedy))
    return found
