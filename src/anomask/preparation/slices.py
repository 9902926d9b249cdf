"""One unit's slices: read, windowed, with masks, written whole, and their rows of the manifest."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from anomask.data.lungs import AIR_HU, estimate_lungs
from anomask.data.volumes.account import LEFT_OUT, USED, Entry
from anomask.data.volumes.faults import reading
from anomask.data.volumes.formats import read_volume
from anomask.data.volumes.geometry import Volume
from anomask.data.volumes.images import read_grey, read_label
from anomask.data.volumes.window import to_grey
from anomask.errors import AnomaskError, DataError, NotAxialError
from anomask.files import whole_file
from anomask.preparation.groups import Group
from anomask.preparation.output import Output, Row
from anomask.preparation.pseudonyms import Pseudonyms
from anomask.preparation.units import Item, Unit
from anomask.preparation.volume_masks import nodule_slices, read_volume_mask

BRIGHTEST = 255.0  # of 8-bit grey
ESTIMATED_AT = 256  # pixels a side
NO_SLICE = "too little lung (min_lung_share), or no lesion where diseased slices are wanted (lesion_free)"


@dataclass(frozen=True)
class Options:
    """What holds for all units; conf/prepare.yaml says what each means."""

    dataset: str
    window: tuple[float, float]
    bits: int
    min_lung_share: float
    lung_masks: str
    allow_gaps: bool
    test_share: float


class Found(NamedTuple):
    """One slice before it is written."""

    pixels: np.ndarray  # [H, W] uint8 or uint16
    index: int
    lung: np.ndarray  # [H, W] bool, given or estimated
    lung_given: bool
    lesion: np.ndarray | None  # [H, W] bool, None where there is no mask
    has_lesion: bool | None  # None where nothing says so


class Outcome(NamedTuple):
    """What became of a unit."""

    rows: list[Row]
    dropped: int  # slices with too little lung, or left out by lesion_free
    faults: list[AnomaskError]
    skipped: str  # why a unit that is in order has no slices, '' otherwise
    became: dict[str, Entry]  # by path; an item without an entry has a fault, in the order of the items


def prepare_unit(unit: Unit, output: Path, options: Options, names: Pseudonyms) -> Outcome:
    """Write the slices of a unit and mark it as finished; a fault leaves none of its slice's files behind."""
    rows: list[Row] = []
    faults: list[AnomaskError] = []
    became: dict[str, Entry] = {}
    dropped, skipped = 0, ""
    for item in unit.items:
        try:
            found, row = _read(item, options, names)
            written = [_write(piece, item.group, row, output, options) for piece in found]
            own = [row for row in written if row]
            rows += own
            dropped += len(written) - len(own)
            if item.source and not own:
                raise DataError(f"{item.path} gave none of its {len(written)} slices: {NO_SLICE}.")
            became[item.path] = Entry(USED, "slices") if own else Entry(LEFT_OUT, NO_SLICE)
        except NotAxialError as reason:
            skipped = str(reason)
            became[item.path] = Entry(LEFT_OUT, skipped)
        except AnomaskError as fault:
            faults.append(fault)
    if not faults or rows:
        Output(output).finish(unit, rows, complete=not faults)
    return Outcome(rows, dropped, faults, skipped, became)


def _read(item: Item, options: Options, names: Pseudonyms) -> tuple[Iterable[Found], Row]:
    """Return an item's slices and what their rows have in common; all reading is done before the first is written."""
    own = f"{options.dataset}/{item.path}"
    if item.image is not None:
        series = f"{options.dataset}/{Path(item.path).parent}"
        return [_image(item, options)], _row(item.patient, series, item.group, options, names)
    volume = read_volume(item.source, options.allow_gaps, item.group.values)
    if item.group.values == "grey" and (volume.hu.min() < 0 or volume.hu.max() > BRIGHTEST):
        raise DataError(
            f"{item.path} holds values from {volume.hu.min():.0f} to {volume.hu.max():.0f}; values=grey means 0 to "
            f"{BRIGHTEST:.0f}, windowed already. Use values=hu if they are HU."
        )
    series = item.source.identity or own
    # Without a patient the study is one: its series are of one person.
    patient = item.patient or volume.patient or item.source.study or series
    row = _row(patient, series, item.group, options, names)
    row["spacing_mm"] = " ".join(f"{length:.4g}" for length in volume.spacing_mm)
    lesion = read_volume_mask(item.mask, volume, item.group.mask_labels) if item.mask else None
    lung = read_volume_mask(item.lung_mask, volume, item.group.lung_labels) if item.lung_mask else None
    return _slices_of(volume, lesion, lung, item, options), row


def _slices_of(
    volume: Volume, lesion: np.ndarray | None, lung: np.ndarray | None, item: Item, options: Options
) -> Iterator[Found]:
    has_lesion = None if lesion is None else lesion.any(axis=(1, 2))
    if item.nodules:
        has_lesion = nodule_slices(item.nodules, volume)
    window, threshold = (options.window, AIR_HU) if item.group.values == "hu" else ((0.0, BRIGHTEST), None)
    for z, values in enumerate(volume.hu):
        yield Found(
            pixels=to_grey(values, window, options.bits),
            index=z,
            lung=_estimate(values, threshold) if lung is None else lung[z],
            lung_given=lung is not None,
            lesion=None if lesion is None else lesion[z],
            has_lesion=None if has_lesion is None else bool(has_lesion[z]),
        )


def _image(item: Item, options: Options) -> Found:
    with reading(item.image, "an image"):
        values = read_grey(item.image)
    lesion = read_label(item.mask, values.shape) if item.mask else None
    lung = read_label(item.lung_mask, values.shape) if item.lung_mask else None
    if values.dtype == np.uint8:
        pixels = to_grey(values, (0.0, BRIGHTEST), options.bits)
    elif item.group.values == "grey":
        pixels = to_grey(values, options.window, options.bits)
    else:
        raise DataError(
            f"{item.image} has 16 bits, and nothing says which of its values matter. Set values=grey and window to "
            "them, such as window=[0,65535]."
        )
    marked = None if lesion is None else bool(lesion.any())
    own_lung = _estimate(pixels, None) if lung is None else lung
    return Found(pixels, item.index, own_lung, lung is not None, lesion, marked)


def _estimate(values: np.ndarray, threshold: float | None) -> np.ndarray:
    """Estimate the lungs at the size the estimate was tuned at; four times as fast for slices of 512 x 512."""
    step = -(-max(values.shape) // ESTIMATED_AT)
    small = ndimage.uniform_filter(np.asarray(values, np.float32), step)[::step, ::step]
    found = estimate_lungs(small, threshold)
    return found.repeat(step, 0).repeat(step, 1)[: values.shape[0], : values.shape[1]]


def _row(patient: str, series: str, group: Group, options: Options, names: Pseudonyms) -> Row:
    split = group.split
    if split == "by_patient":
        # Without the key: the same patients go to the test set whoever prepares the data.
        place = int.from_bytes(hashlib.sha256(f"split:{patient}".encode()).digest()[:8]) / 2**64
        split = "test" if place < options.test_share else "train"
    return {
        "split": split,
        "patient": names.name("patient", patient),
        "series": names.name("series", series),
        "source": options.dataset,
        "spacing_mm": "",
    }


def _write(found: Found, group: Group, row: Row, output: Path, options: Options) -> Row | None:
    """Write a slice and its masks; return its row, or None where it is left out."""
    split, disease = row["split"], group.disease
    if found.has_lesion is False:
        if group.lesion_free == "skip":
            return None
        disease = ""
    if (disease and split == "train") or found.lung.mean() < options.min_lung_share:
        return None
    parts = filter(None, (row["patient"], row["series"] if row["series"] != row["patient"] else ""))
    name = f"{'_'.join(parts)}_{found.index:04d}.png"
    folder = f"{split}/abnormal/{disease}" if disease else f"{split}/normal"
    path, mask, lung_mask = f"{folder}/{name}", "", ""
    if disease and found.lesion is not None:
        mask = f"{split}/masks/{disease}/{name}"
        _save(found.lesion.astype(np.uint8) * 255, output / mask)
    if found.lung_given or options.lung_masks == "estimate":
        lung_mask = f"{split}/lung_masks/{disease or 'normal'}/{name}"
        _save(found.lung.astype(np.uint8) * 255, output / lung_mask)
    _save(found.pixels, output / path)
    about = {"path": path, "label": "abnormal" if disease else "normal", "disease": disease}
    return row | about | {"mask": mask, "lung_mask": lung_mask, "slice": str(found.index)}


def _save(pixels: np.ndarray, path: Path) -> None:
    with whole_file(path) as temporary:
        Image.fromarray(pixels).save(temporary)
