"""One unit's slices: read, windowed, with masks, written whole, and their rows of the manifest."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from anomask.data.labels import Marked
from anomask.data.lungs import AIR_HU, estimate_lungs
from anomask.data.volumes.account import LEFT_OUT, USED, Entry
from anomask.data.volumes.faults import reading
from anomask.data.volumes.formats import read_volume
from anomask.data.volumes.geometry import LeftOut, Volume
from anomask.data.volumes.images import read_grey, read_label
from anomask.data.volumes.square import square_spacing, to_square_pixels
from anomask.data.volumes.values import BRIGHTEST
from anomask.data.volumes.window import to_grey
from anomask.errors import AnomaskError, DataError, NotAxialError
from anomask.files import whole_file
from anomask.preparation.groups import Group
from anomask.preparation.output import Output, Row
from anomask.preparation.pseudonyms import Pseudonyms
from anomask.preparation.units import Item, Unit
from anomask.preparation.volume_masks import nodule_slices, read_volume_mask

WITHOUT_LESION, WITH_LESION = "without lesion (lesion_free)", "with a lesion, in train"  # why slices are left out
LITTLE_LUNG = "with too little lung (min_lung_share)"
ESTIMATED_AT = 256  # pixels a side


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
    dropped: Counter[str]  # slices that were left out, by reason
    faults: list[AnomaskError]
    skipped: str  # why a unit that is in order has no slices, '' otherwise
    soft: list[str]  # masks whose edges are grey, see `find_marked`
    became: dict[str, Entry]  # by path; an item without an entry has a fault, in the order of the items
    left_out: list[LeftOut]  # slices that are in no volume


def prepare_unit(unit: Unit, output: Path, options: Options, names: Pseudonyms) -> Outcome:
    """Write the slices of a unit and mark it as finished; a fault leaves none of its slice's files behind."""
    rows: list[Row] = []
    faults: list[AnomaskError] = []
    became: dict[str, Entry] = {}
    dropped, skipped, soft, left_out = Counter(), "", [], []
    for item in unit.items:
        try:
            found, row = _read(item, options, names, soft, left_out)
            own, left = [], Counter()
            for piece in found:
                reason = _why_not(piece, item.group, row["split"], options)
                if reason:
                    left[reason] += 1
                else:
                    own.append(_write(piece, item.group, row, output, options))
            rows += own
            dropped += left
            if item.source and not own:
                raise DataError(f"{item.path} gave none of its {left.total()} slices: {told(left)}.")
            became[item.path] = Entry(USED, "slices") if own else Entry(LEFT_OUT, told(left))
        except NotAxialError as reason:
            skipped = str(reason)
            became[item.path] = Entry(LEFT_OUT, skipped)
        except AnomaskError as fault:
            faults.append(fault)
    if not faults or rows:
        Output(output).finish(unit, rows, complete=not faults)
    return Outcome(rows, dropped, faults, skipped, soft, became, left_out)


def told(counts: Counter[str]) -> str:
    """Return counts in words."""
    return ", ".join(f"{count} {what}" for what, count in counts.items()) or "none"


def _read(
    item: Item, options: Options, names: Pseudonyms, soft: list[str], left_out: list[LeftOut]
) -> tuple[Iterable[Found], Row]:
    """Return an item's slices and what their rows have in common; all reading is done before the first is written."""
    own = f"{options.dataset}/{item.path}"
    if item.image is not None:
        series = f"{options.dataset}/{Path(item.path).parent}"
        return [_image(item, options, soft)], _row(item.patient, series, item.group, options, names)
    volume = read_volume(item.source, options.allow_gaps, item.group.values)
    left_out += volume.left_out
    series = item.source.identity or own
    # Without a patient the study is one: its series are of one person.
    patient = item.patient or volume.patient or item.source.study or series
    row = _row(patient, series, item.group, options, names)
    spacing = (volume.spacing_mm[0], *square_spacing(volume.spacing_mm[1:]))
    row["spacing_mm"] = " ".join(f"{length:.4g}" for length in spacing)
    lesion, lung = (
        _mask_of(path, read_volume_mask(path, volume, labels), soft) if path else None
        for path, labels in ((item.mask, item.group.mask_labels), (item.lung_mask, item.group.lung_labels))
    )
    return _slices_of(volume, lesion, lung, item, options), row


def _mask_of(path: Path, marked: Marked, soft: list[str]) -> np.ndarray:
    soft += [str(path)] if marked.soft else []
    return marked.mask


def _slices_of(
    volume: Volume, lesion: np.ndarray | None, lung: np.ndarray | None, item: Item, options: Options
) -> Iterator[Found]:
    has_lesion = None if lesion is None else lesion.any(axis=(1, 2))
    if item.nodules:
        has_lesion = nodule_slices(item.nodules, volume)
    spacing = volume.spacing_mm[1:]
    window, threshold = (options.window, AIR_HU) if item.group.values == "hu" else ((0.0, BRIGHTEST), None)
    for z, values in enumerate(volume.hu):
        own_lung = _estimate(to_square_pixels(values, spacing), threshold) if lung is None else lung[z]
        yield Found(
            pixels=to_square_pixels(to_grey(values, window, options.bits), spacing),
            index=z,
            lung=own_lung if lung is None else to_square_pixels(own_lung, spacing),
            lung_given=lung is not None,
            lesion=None if lesion is None else to_square_pixels(lesion[z], spacing),
            has_lesion=None if has_lesion is None else bool(has_lesion[z]),
        )


def _image(item: Item, options: Options, soft: list[str]) -> Found:
    with reading(item.image, "an image"):
        values = read_grey(item.image)
    lesion, lung = (
        _mask_of(path, read_label(path, values.shape, labels), soft) if path else None
        for path, labels in ((item.mask, item.group.mask_labels), (item.lung_mask, item.group.lung_labels))
    )
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


def _why_not(found: Found, group: Group, split: str, options: Options) -> str:
    """Say why a slice is left out, or '' where it is written."""
    if found.has_lesion is False and group.lesion_free == "skip":
        return WITHOUT_LESION
    if group.disease and split == "train" and found.has_lesion is not False:
        return WITH_LESION
    return LITTLE_LUNG if found.lung.mean() < options.min_lung_share else ""


def _write(found: Found, group: Group, row: Row, output: Path, options: Options) -> Row:
    """Write a slice and its masks; return its row."""
    split, disease = row["split"], "" if found.has_lesion is False else group.disease
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
