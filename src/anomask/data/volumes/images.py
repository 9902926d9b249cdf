"""PNG, JPEG and TIFF files of doubtful origin as grey slices."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from anomask.data.volumes.geometry import MAX_SIDE
from anomask.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning)


def is_image(path: Path) -> bool:
    """Say whether the name is that of an image file."""
    return path.suffix.lower() in SUFFIXES


def read_grey(path: Path) -> np.ndarray:
    """Read an image as grey values: [H, W] uint8 or uint16. Colour images are grey if their channels are equal.

    Raises:
        DataError: damaged, too large, of several pages, in true colour, or not of 8 or 16 bits.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                _check_header(image, path)
                image.load()
                return _grey(image, path)
    except DataError:
        raise
    except DAMAGED as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:120]
        raise DataError(f"{path} cannot be read ({reason}). Copy or convert it again.") from error


def read_label(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Read a mask image: [H, W] bool, true where it is not black.

    Raises:
        DataError: as `read_grey`, or of another size than its slice.
    """
    values = read_grey(path)
    if values.shape != shape:
        raise DataError(
            f"{path} is {values.shape[1]}x{values.shape[0]} pixels, its slice {shape[1]}x{shape[0]}. A mask must have "
            "its slice's size."
        )
    return values > 0


def _check_header(image: Image.Image, path: Path) -> None:
    if max(image.size) > MAX_SIDE:
        raise DataError(
            f"{path} is {image.width}x{image.height} pixels; at most {MAX_SIDE} a side are read. It is no CT slice."
        )
    if getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{path} holds {image.n_frames} pages; one slice a file is wanted. Split it.")


def _grey(image: Image.Image, path: Path) -> np.ndarray:
    if image.mode == "L":
        return np.asarray(image)
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)  # also turns big-endian TIFF into the machine's own order
    if image.mode in ("RGB", "RGBA", "LA", "P"):
        pixels = np.asarray(image.convert("RGBA"))
        if (pixels[..., 3] == 255).all() and (pixels[..., :1] == pixels[..., :3]).all():
            return pixels[..., 0].copy()
        raise DataError(
            f"{path} is in colour or transparent: its channels differ. Export it as grey, without overlays or marks."
        )
    raise DataError(f"{path} is of mode {image.mode}; grey of 8 or 16 bits is wanted. Convert it.")
