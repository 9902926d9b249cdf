"""Pictures and maps as files: RGB panels side by side, PNG bytes, 16-bit maps."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from anomask.files import whole_file

FULL_SCALE = 65535  # of a 16-bit map, a map value of 1


class Picture(NamedTuple):
    """An overlay with its caption."""

    slice_name: str
    caption: str
    pixels: np.ndarray  # [H, W, 3] uint8

    @property
    def name(self) -> str:
        """File name without ending."""
        return self.slice_name.replace("/", "_").removesuffix(".png")


def to_pixels(pictures: Sequence[Tensor]) -> np.ndarray:
    """Put RGB pictures [3, S, S] in [0, 1] side by side: [S, n * S, 3] uint8."""
    rows = [(picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy() for picture in pictures]
    return np.concatenate(rows, axis=1)


def png_bytes(pixels: np.ndarray) -> bytes:
    """Encode [H, W, 3] uint8 as PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="png", optimize=True)
    return stream.getvalue()


def write_map(file: Path, anomaly_map: Tensor) -> None:
    """Write a map [1, S, S] in [0, 1] as 16-bit PNG; `FULL_SCALE` is 1."""
    values = (anomaly_map[0].clamp(0, 1) * FULL_SCALE).round().numpy().astype(np.uint16)
    with whole_file(file) as temporary:
        Image.fromarray(values).save(temporary)
