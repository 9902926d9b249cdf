"""What decoding an image file of doubtful origin may raise, and its pixels as labels."""

import struct
import zlib

import numpy as np
from PIL import Image

from anomask.errors import DataError

# Pillow's readers check little: damaged bytes end in any of these.
UNDECODABLE = (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError)
UNDECODABLE += (RuntimeError, SyntaxError, TypeError, ValueError, struct.error, zlib.error)
UNDECODABLE += (Image.DecompressionBombError, Image.DecompressionBombWarning)
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # a TIFF tag and its value for images stored as negatives
LOSSY = ("JPEG", "MPO", "JPEG2000", "WEBP")
OPAQUE = 255


def why(error: BaseException) -> str:
    """Return a library's error in a few words."""
    return getattr(error, "strerror", None) or " ".join(str(error).split())[:120] or type(error).__name__


def is_lossy(image: Image.Image) -> bool:
    """Say whether an image was stored so that its values change a little."""
    return image.format in LOSSY or image.info.get("compression") == "jpeg"


def sixteen_bits(image: Image.Image) -> np.ndarray:
    """Return the grey values of a decoded 16-bit image: [H, W] uint16, 0 is black."""
    values = np.asarray(image).astype(np.uint16)  # also turns big-endian TIFF into the machine's own order
    # Pillow turns negatives of 8 bits, and leaves those of 16 bits as they are.
    return 65535 - values if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO else values


def channels_as_grey(image: Image.Image) -> np.ndarray | None:
    """Return [H, W] uint8 of an image with equal colours and without transparency, None where it is another one."""
    pixels = np.asarray(image.convert("RGBA"))
    grey = (pixels[..., 3] == OPAQUE).all() and (pixels[..., :1] == pixels[..., :3]).all()
    return pixels[..., 0].copy() if grey else None


def label_values(image: Image.Image, where: str) -> np.ndarray:
    """Return the pixels of a decoded mask as the numbers that they stand for: [H, W].

    A palette in colour is how a mask of several classes is drawn: the entry's number is the label then.

    Raises:
        DataError: it is in true colour or transparent, or of a kind that holds no labels.
    """
    if image.mode in ("1", "L", "F", "I"):
        return np.asarray(image) * 1  # 1-bit pixels become 0 and 1
    if image.mode.startswith("I;16"):
        return sixteen_bits(image)
    if image.mode in ("RGB", "RGBA", "LA", "P", "PA"):
        grey = channels_as_grey(image)
        if grey is not None:
            return grey
        if image.mode == "P" and not any(image.getpalette()[:3]):  # entry 0 is black: the background
            return np.asarray(image)
        raise DataError(
            f"{where} is in colour or transparent; a mask has one number a pixel, 0 for the background. Export it as "
            "grey or with a palette whose entry 0 is black."
        )
    raise DataError(f"{where} is of mode {image.mode}, which holds no labels. Export it as 8-bit grey.")
