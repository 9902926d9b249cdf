"""What one look at a slice and its masks tells: each file is read and decoded once for all checks."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from anomask.data.folder.findings import WARNING, Finding, finding_of
from anomask.data.folder.hashing import read_hashed
from anomask.data.folder.masks import empty_mask, lesion_on_normal, mask_of_most, outside_lung
from anomask.data.folder.reading import read_mask, read_slice
from anomask.data.folder.records import SliceRecord
from anomask.errors import DataError
from anomask.parallel import in_parallel

THUMBNAIL = 32  # side in pixels: what imagehash's perceptual hash looks at
# Share of a lesion mask within a lung mask that came with it; 0.995 is the least of covidseg256. Estimated lungs don't
# do: they leave out consolidated lung, and with it 3 to 33 % of the right masks of three real sets altogether.
LEAST_INSIDE = 0.5
MOST_OF_SLICE = 0.5  # a lesion mask that covers more is one with black and white exchanged
GREY_LEVELS = 16  # fewer are a mask or a drawing; the slices of three real sets have 164 at least


class SliceFacts(NamedTuple):
    """What the checks of a whole set know of one slice."""

    width: int
    height: int
    histogram: np.ndarray  # [256] pixels of each grey value
    thumbnail: np.ndarray  # [32, 32] uint8


def inspect(
    folder: Path, records: Sequence[SliceRecord], progress: bool
) -> tuple[list[SliceFacts | None], list[Finding]]:
    """Look at every slice and its masks.

    Args:
        folder: the data folder.
        records: its slices.
        progress: whether to show a progress bar.

    Returns:
        facts of each slice, None where it cannot be decoded, and what is wrong with single files
    """
    facts: list[SliceFacts | None] = []
    findings: list[Finding] = []
    for own, found in in_parallel(partial(inspect_slice, folder), list(records), "verify", progress):
        facts.append(own)
        findings += found
    return facts, findings


def inspect_slice(folder: Path, record: SliceRecord) -> tuple[SliceFacts | None, list[Finding]]:
    """Look at one slice and its masks."""
    try:
        content, _ = read_hashed(record.path)
        pixels = read_slice(record.path, content)
    except DataError as error:
        return None, [_named(error, folder, record.path)]
    image = Image.fromarray(pixels)
    histogram = np.array(image.histogram())
    thumbnail = np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS))
    found = _about_pixels(record, histogram, content)
    found += _about_masks(folder, record, pixels.shape)
    return SliceFacts(image.width, image.height, histogram, thumbnail), found


def _about_pixels(record: SliceRecord, histogram: np.ndarray, content: bytes) -> list[Finding]:
    found = []
    share, levels = histogram.max() / histogram.sum(), int((histogram > 0).sum())
    if share >= 0.99:
        message = f"{record.name} is constant: {share:.1%} of its pixels have the grey value {histogram.argmax()}."
        found.append(Finding("constant", (record.name,), message, "Export it again, or remove it."))
    elif levels < GREY_LEVELS:
        message = f"{record.name} has {levels} grey values only, as a mask or a drawing has."
        found.append(Finding("few grey values", (record.name,), message, "Put the slice in its place.", WARNING))
    if not content.startswith(b"\x89PNG"):
        message = f"{record.name} is named .png and is another kind of image; lossy kinds change grey values."
        found.append(Finding("not PNG inside", (record.name,), message, "Export it again as PNG.", WARNING))
    return found


def _about_masks(folder: Path, record: SliceRecord, shape: tuple[int, int]) -> list[Finding]:
    found, masks = [], {}
    for path in filter(None, (record.mask, record.lung_mask)):
        try:
            masks[path] = read_mask(path, shape, read_hashed(path)[0])
        except DataError as error:
            found.append(_named(error, folder, path))
            continue
        if not masks[path].any() and not (record.label == "normal" and path == record.mask):
            found.append(empty_mask(record, path.relative_to(folder).as_posix()))
    lesion, lung = masks.get(record.mask), masks.get(record.lung_mask)
    if lesion is None or not lesion.any():
        return found
    if record.label == "normal":
        found.append(lesion_on_normal(record))
    name = record.mask.relative_to(folder).as_posix()
    if lesion.mean() > MOST_OF_SLICE:
        found.append(mask_of_most(record, name, lesion.mean()))
    if lung is not None and lung.any():
        inside = float((lesion & lung).sum() / lesion.sum())
        if inside < LEAST_INSIDE:
            found.append(outside_lung(record, name, inside))
    return found


def _named(error: DataError, folder: Path, path: Path) -> Finding:
    """Return the finding behind an error of a file under the file's name in the data folder."""
    finding, name = finding_of(error), path.relative_to(folder).as_posix()
    return replace(finding, files=(name,), message=finding.message.replace(str(path), name))
