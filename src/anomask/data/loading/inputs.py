"""What a prediction is made of: loose slices and volumes, found first, then read one after the other."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from anomask.batches import SliceBatch
from anomask.data.folder.records import MASK_FOLDERS, natural_key
from anomask.data.loading.slices import framed_slice
from anomask.data.volumes.account import Account
from anomask.data.volumes.faults import reading
from anomask.data.volumes.formats import Volume, VolumeSource, group_volumes, read_volume
from anomask.data.volumes.images import SUFFIXES, is_image, read_grey
from anomask.data.volumes.window import to_grey
from anomask.errors import ConfigError, DataError, NotAxialError, printable

log = logging.getLogger(__name__)

GREYS = (0.0, 255.0)  # of volumes windowed already
VOLUME_SUFFIX = re.compile(r"\.(nii|nii\.gz|mha|mhd|dcm|dicom|ima)$", re.IGNORECASE)


class Case(NamedTuple):
    """Slices that are read and predicted together: those of one volume, or a batch of loose ones."""

    files: list[str]  # of each slice, where it lies in the input
    pixels: list[np.ndarray]  # [H, W] uint8 each, windowed
    series: str = ""  # name of the volume, '' for loose slices
    volume: Volume | None = None

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """(row, column) of the pixels; those of loose slices are taken for square."""
        return (1.0, 1.0) if self.volume is None else self.volume.spacing_mm[1:]


class Inputs(NamedTuple):
    """What was found in an input: files and headers, no pixels yet."""

    slices: dict[str, Path]  # name -> file
    volumes: dict[str, VolumeSource]  # name -> where


def find_inputs(place: Path, limit: int | None, account: Account, neutral: bool = False) -> Inputs:
    """Find the slices (PNG, JPEG, TIFF, ...) and volumes (DICOM series, NIfTI) of a file or folder.

    Folders called masks and lung_masks are left out. A volume is named after its place in the input, or neutrally, and
    never after what its header says: a series' own identifier often holds a date.

    Args:
        place: a file or a folder.
        limit: how many slices and volumes to keep, or None.
        account: told of each file that is left out, and of each fault.
        neutral: name slices slice_0001, ... and volumes case_0001, ... in the order of their names.

    Raises:
        DataError: there is nothing that could be predicted.
        ConfigError: two maps would have one name.
    """
    files = {account.inside(path): path for path in account.files()}
    masks = [path for name, path in files.items() if _is_mask(name)]
    account.leave(masks, "in a folder of masks")
    files = {name: path for name, path in files.items() if not _is_mask(name)}
    slices = {name: files[name] for name in sorted(files, key=natural_key) if is_image(files[name])}
    volumes = _named(group_volumes(files.values(), account), slices, place, account)
    account.report_missed()
    if not slices and not volumes:
        raise DataError(
            f"nothing to predict in {place}. Wanted: 8-bit grey slices ({', '.join(SUFFIXES)}), a DICOM series or "
            "NIfTI files."
        )
    doubled = next((name for name in slices if f"{name}.png" in slices), None)
    if doubled and not neutral:
        raise ConfigError(f"{doubled} and {doubled}.png would have one map: rename one, or use names=neutral.")
    if neutral:
        slices = {f"slice_{row:04d}": path for row, path in enumerate(slices.values(), 1)}
        volumes = {f"case_{row:04d}": source for row, source in enumerate(volumes.values(), 1)}
    kept = dict(list(slices.items())[:limit])
    left = None if limit is None else limit - len(kept)
    beyond = [path for name, path in slices.items() if name not in kept]
    beyond += [path for source in list(volumes.values())[left:] for path in source.files] if left is not None else []
    account.leave(beyond, "beyond limit")
    return Inputs(kept, dict(list(volumes.items())[:left]))


def _is_mask(name: str) -> bool:
    return bool(set(MASK_FOLDERS) & set(Path(name).parts[:-1]))


def _named(
    sources: list[VolumeSource], slices: Iterable[str], place: Path, account: Account
) -> dict[str, VolumeSource]:
    """Name each volume after its place; no name is given twice, or is that of a folder of loose slices."""
    plain = []
    for source in sources:
        alone = len(source.files) == 1
        name = VOLUME_SUFFIX.sub("", account.inside(source.files[0] if alone else source.path))
        plain.append(printable(place.resolve().name) if name in (".", "") else name)
    taken = {folder.as_posix() for name in slices for folder in Path(name).parents}
    free = {name for name, times in Counter(plain).items() if times == 1} - taken
    taken |= set(plain)
    names = []
    for name in plain:
        own = name
        if name not in free:  # several series in one folder, or files of several formats
            own = next(other for row in count(1) if (other := f"{name}_{row}") not in taken)
            taken.add(own)
        names.append(own)
    return dict(zip(names, sources, strict=True))


def read_cases(
    inputs: Inputs,
    batch_size: int,
    window: tuple[float, float],
    account: Account,
    values: str = "hu",
    allow_gaps: bool = False,
) -> Iterator[Case]:
    """Read loose slices in batches, then volume after volume.

    Args:
        inputs: of `find_inputs`.
        batch_size: how many loose slices are read together.
        window: (low, high) in HU, for volumes.
        account: told what became of each file; a slice or volume that cannot be used is a fault, and the others go on.
        values: 'hu', or 'grey' for volumes windowed already; see `read_volume`.
        allow_gaps: see `read_volume`.
    """
    window = GREYS if values == "grey" else window
    files, pixels = [], []
    for name, path in inputs.slices.items():
        try:
            pixels.append(_read_slice(path))
        except DataError as fault:
            account.fault(fault, [path])
            continue
        account.use([path], "slice", name)
        files.append(name)
        if len(files) == batch_size:
            yield Case(files, pixels)
            files, pixels = [], []
    if files:
        yield Case(files, pixels)
    for name, source in inputs.volumes.items():
        try:
            case = _case_of(name, read_volume(source, allow_gaps, values), window)
        except NotAxialError as reason:
            text = account.relative(str(reason))
            log.warning("%s is left out: %s", name, text)
            account.leave(source.files, text)
            continue
        except DataError as fault:
            account.fault(fault, source.files)
            continue
        account.use(source.files, f"{source.kind} volume", name)
        account.leave_slices(case.volume.left_out)
        yield case
        del case  # before the next one is read: a volume takes up to a gigabyte


def _case_of(name: str, volume: Volume, window: tuple[float, float]) -> Case:
    return Case([name] * len(volume.hu), [to_grey(hu, window, 8) for hu in volume.hu], name, volume)


def _read_slice(path: Path) -> np.ndarray:
    with reading(path, "an image"):
        values = read_grey(path)
    if values.dtype != np.uint8:
        raise DataError(f"{path} has 16 bits; 8-bit grey is wanted. Window it first: anomask prepare.")
    return values


def input_batch(pixels: list[np.ndarray], size: int, crop: str = "none") -> SliceBatch:
    """Turn slices of any shape into a batch for the model, as `LoadSlice` does for slices without masks.

    Args:
        pixels: [H, W] uint8 each.
        size: S, side of the model's slices.
        crop: 'none' or 'lungs', as in training.
    """
    images, lungs, frames = zip(*(framed_slice(values, size, crop, True) for values in pixels), strict=True)
    image, lung = torch.stack(images), torch.stack(lungs)
    unknown = torch.zeros(len(image), dtype=torch.bool)
    nothing = torch.zeros_like(lung)
    return SliceBatch(image, torch.arange(len(image)), nothing, lung, unknown, unknown, torch.tensor(frames))
