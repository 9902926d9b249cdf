"""Is one image there twice, re-encoded, resampled or with other contrast?"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.fft import dctn

from anomask.data.folder.findings import ERROR, WARNING, Finding
from anomask.data.folder.records import SliceRecord
from anomask.errors import SplitError

# Two slices are near-copies if their hashes differ in few bits and their thumbnails correlate. In three real sets the
# thumbnails of different patients correlate with 0.92 at most, those of neighbouring slices with up to 0.9996. Found
# so: all copies re-encoded as JPEG, with other contrast or resampled, 97 % of those shifted by 2 pixels; hardly any of
# those cropped by 3 % or rotated by 3 degrees.
MOST_BITS = 6
LEAST_CORRELATION = 0.97
ROWS = 256  # compared with all others at a time: bounds the memory


def perceptual_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Hash the coarse structure of images: bits of `imagehash.phash`, for many at once.

    Args:
        thumbnails: [N, 32, 32] grey values.

    Returns:
        [N] uint64
    """
    parts = [
        dctn(thumbnails[start : start + ROWS].astype(float), axes=(1, 2))[:, :8, :8].reshape(-1, 64)
        for start in range(0, len(thumbnails), ROWS)
    ]
    low = np.concatenate(parts)
    return np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1).view(np.uint64)[:, 0]


def close_pairs(hashes: np.ndarray, most_bits: int) -> Iterator[np.ndarray]:
    """Yield all pairs of rows whose hashes differ in at most `most_bits` bits, as [P, 2] with first < second."""
    for start in range(0, len(hashes), ROWS):
        block = hashes[start : start + ROWS, None]
        bits = np.bitwise_count(block ^ hashes[None, start:])
        first, second = np.nonzero(bits <= most_bits)
        kept = first < second
        yield np.stack([first[kept], second[kept]], axis=1) + start


def near_copies(records: Sequence[SliceRecord], thumbnails: np.ndarray, hashes: Sequence[str]) -> list[Finding]:
    """Report near-copies in two splits (errors) and of two patients in one split (warnings), the nearest of a slice.

    Neighbouring slices of a patient are alike and count only where a split parts them; a patient who is known to be
    in two splits is reported as that. Files that are equal to the last byte are left to `copies`.

    Args:
        records: slices.
        thumbnails: [N, 32, 32] of each.
        hashes: of each one's file.
    """
    splits = _codes([record.split for record in records])
    patients, known = _codes([record.patient for record in records]), np.array([bool(r.patient) for r in records])
    contents = _codes(list(hashes))
    unit = thumbnails.reshape(len(records), -1).astype(np.float32)
    unit -= unit.mean(axis=1, keepdims=True)
    contrast = np.linalg.norm(unit, axis=1, keepdims=True)
    unit /= np.maximum(contrast, 1.0)
    nearest: dict[tuple[int, bool], tuple[float, int]] = {}  # of each slice, in another split and in its own
    for first, second in (pairs.T for pairs in close_pairs(perceptual_hashes(thumbnails), MOST_BITS)):
        apart = splits[first] != splits[second]
        other = np.where(known[first] & known[second], patients[first] != patients[second], apart)
        pairs = np.flatnonzero(other & (contents[first] != contents[second]))
        likeness = np.einsum("ij,ij->i", unit[first[pairs]], unit[second[pairs]])
        for pair, value in zip(
            pairs[likeness >= LEAST_CORRELATION], likeness[likeness >= LEAST_CORRELATION], strict=True
        ):
            key = (int(second[pair]), bool(apart[pair]))
            nearest[key] = max(nearest.get(key, (0.0, 0)), (float(value), int(first[pair])))
    return [_finding(records[i], records[j], value, across) for (j, across), (value, i) in sorted(nearest.items())]


def _codes(values: list[str]) -> np.ndarray:
    return np.unique(np.array(values), return_inverse=True)[1]


def _finding(first: SliceRecord, second: SliceRecord, likeness: float, across: bool) -> Finding:
    files = (first.name, second.name)
    message = f"{first.name} and {second.name} show nearly the same image (correlation {likeness:.3f})"
    if across:
        message += f", one in {first.split}, the other in {second.split}."
        remedy = "Keep all slices of a patient in one split; remove one of the two if it is a copy."
        return Finding("near-copy in two splits", files, message, remedy, ERROR, SplitError)
    message += f", as of the patients {first.patient} and {second.patient}."
    return Finding("near-copy", files, message, "Give one patient one name, or remove the copy.", WARNING)
