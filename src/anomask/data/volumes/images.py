"""PNG, JPEG and TIFF files of doubtful origin as grey slices."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from anomask.data.decoding import UNDECODABLE, channels_as_grey, is_lossy, label_values, sixteen_bits, why
from anomask.data.labels import Marked, find_marked
from anomask.data.volumes.geometry import MAX_SIDE
from anomask.errors import DataError

ORIENTATION, UPRIGHT = 274, 1  # a tag of TIFF and EXIF, and its usual value
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def is_image(path: Path) -> bool:
    """Say whether the name is that of an image file."""
    return path.suffix.lower() in SUFFIXES


def read_grey(path: Path) -> np.ndarray:
    """Read an image as grey values: [H, W] uint8 or uint16. Colour images are grey if their channels are equal.

    Raises:
        DataError: damaged, too large, of several pages, in true colour, or not of 8 or 16 bits.
    """
    with _decoded(path) as image:
        return _grey(image, path)


def read_label(path: Path, shape: tuple[int, int], labels: Sequence[int] | None = None) -> Marked:
    """Read a mask image; see `find_marked`.

    Args:
        path: of the mask.
        shape: (H, W) of its slice.
        labels: the classes that count; None is every class but 0.

    Raises:
        DataError: damaged, of another size than its slice, or not of labels.
    """
    values, lossy = _labels(path)
    if values.shape != shape:
        raise DataError(
            f"{path} is {values.shape[1]}x{values.shape[0]} pixels, its slice {shape[1]}x{shape[0]}. A mask must have "
            "its slice's size."
        )
    return find_marked(values, labels, str(path), lossy)


def labels_of_image(path: Path, wanted: Sequence[int]) -> frozenset[int]:
    """Return the classes in a mask image of which `wanted` are to count.

    Raises:
        DataError: damaged, or not of labels.
    """
    values, lossy = _labels(path)
    return find_marked(values, wanted, str(path), lossy).labels


def _labels(path: Path) -> tuple[np.ndarray, bool]:
    with _decoded(path) as image:
        return label_values(image, str(path)), is_lossy(image)


@contextmanager
def _decoded(path: Path) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tags that are damaged; damaged pixels are errors
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                _check_header(image, path)
                image.load()
                yield image
    except DataError:
        raise
    except UNDECODABLE as error:
        raise DataError(f"{path} cannot be read ({why(error)}). Copy or convert it again.") from error


def _check_header(image: Image.Image, path: Path) -> None:
    if max(image.size) > MAX_SIDE:
        raise DataError(
            f"{path} is {image.width}x{image.height} pixels; at most {MAX_SIDE} a side are read. It is no CT slice."
        )
    if image.getexif().get(ORIENTATION, UPRIGHT) not in (0, UPRIGHT):
        raise DataError(f"{path} is to be turned when it is shown (EXIF orientation). Save it upright, with its mask.")
    if getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{path} holds {image.n_frames} pages; one slice a file is wanted. Split it.")


def _grey(image: Image.Image, path: Path) -> np.ndarray:
    if image.mode == "L":
        return np.asarray(image)
    if image.mode.startswith("I;16"):
        return sixteen_bits(image)
    if image.mode in ("RGB", "RGBA", "LA", "P"):
        grey = channels_as_grey(image)
        if grey is not None:
            return grey
        raise DataError(
            f"{path} is in colour or transparent: its channels differ. Export it as grey, without overlays or marks."
        )
    raise DataError(f"{path} is of mode {image.mode}; grey of 8 or 16 bits is wanted. Convert it.")
