"""The pixels of a DICOM image in HU, and air where they mean nothing."""

import numpy as np
from pydicom.dataset import Dataset
from scipy import ndimage

from anomask.data.volumes.values import AIR_HU, METAL_HU

PADDED_HU = -2000.0  # what padding becomes: black in every window, and no proof that air is -1000


def to_hounsfield(stored: np.ndarray, slope: float, intercept: float, data: Dataset) -> np.ndarray:
    """Return the HU of one frame's stored values, `PADDED_HU` where they are padding: [H, W] float32."""
    hu = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    padding = _padding(stored, data)
    if padding is not None and padding.any():
        values = hu[padding]
        if values.max() > AIR_HU[1] and values.min() < METAL_HU:
            padding = _outside(padding)  # tissue has the same number: what the border does not reach is tissue
        hu[padding] = PADDED_HU
    return hu


def _padding(stored: np.ndarray, data: Dataset) -> np.ndarray | None:
    value = data.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = data.get("PixelPaddingRangeLimit")
    ends = [_as_stored(end, stored.dtype) for end in (value, limit if isinstance(limit, int) else value)]
    return (stored >= min(ends)) & (stored <= max(ends))


def _as_stored(value: int, dtype: np.dtype) -> int:
    """Return a padding value as the pixels hold it: headers write -2000 of unsigned pixels as 63536, or the reverse."""
    if dtype.kind not in "iu":
        return value
    kind = np.iinfo(dtype)
    return value if kind.min <= value <= kind.max else (value - kind.min) % (kind.max - kind.min + 1) + kind.min


def _outside(region: np.ndarray) -> np.ndarray:
    labels, _ = ndimage.label(region)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.isin(labels, border[border > 0])
