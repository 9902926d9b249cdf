"""What a prediction is made of: loose slices and volumes, found first, then read one after the other."""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from anomask.batches import SliceBatch
from anomask.data.folder.records import MASK_FOLDERS, natural_key
from anomask.data.loading.slices import to_input
from anomask.data.lungs import estimate_lungs
from anomask.data.volumes.formats import Volume, VolumeSource, group_volumes, read_volume
from anomask.data.volumes.images import SUFFIXES, is_image, read_grey
from anomask.data.volumes.walk import OnFault, files_below
from anomask.data.volumes.window import to_grey
from anomask.errors import DataError, NotAxialError

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


def find_inputs(place: Path, limit: int | None, on_fault: OnFault) -> Inputs:
    """Find the slices (PNG, JPEG, TIFF, ...) and volumes (DICOM series, NIfTI) of a file or folder.

    Folders called masks and lung_masks are left out. A volume is named after its place in the input and never after
    what its header says: a series' own identifier often holds a date.

    Args:
        place: a file or a folder.
        limit: how many slices and volumes to keep, or None.
        on_fault: called with a DataError for each file or folder that cannot be used.

    Raises:
        DataError: there is nothing that could be predicted.
    """
    files = {name: path for path in files_below(place, on_fault) if not _is_mask(name := _name(path, place))}
    slices = {name: path for name, path in files.items() if is_image(path)}
    volumes = _named(group_volumes(files.values(), on_fault), place)
    if not slices and not volumes:
        raise DataError(
            f"nothing to predict in {place}. Wanted: 8-bit grey slices ({', '.join(SUFFIXES)}), a DICOM series or "
            "NIfTI files."
        )
    kept = sorted(slices, key=natural_key)[:limit]
    left = None if limit is None else limit - len(kept)
    return Inputs({name: slices[name] for name in kept}, dict(list(volumes.items())[:left]))


def _name(path: Path, place: Path) -> str:
    return path.relative_to(place).as_posix() if place.is_dir() else path.name


def _is_mask(name: str) -> bool:
    return bool(set(MASK_FOLDERS) & set(Path(name).parts[:-1]))


def _named(sources: list[VolumeSource], place: Path) -> dict[str, VolumeSource]:
    names = []
    for source in sources:
        alone = len(source.files) == 1
        name = VOLUME_SUFFIX.sub("", _name(source.files[0] if alone else source.path, place))
        names.append(place.resolve().name if name in (".", "") else name)
    repeated = {name: 0 for name, count in Counter(names).items() if count > 1}
    for row, name in enumerate(names):
        if name in repeated:  # several series in one folder
            repeated[name] += 1
            names[row] = f"{name}_{repeated[name]}"
    return dict(zip(names, sources, strict=True))


def read_cases(
    inputs: Inputs,
    batch_size: int,
    window: tuple[float, float],
    on_fault: OnFault,
    values: str = "hu",
    allow_gaps: bool = False,
) -> Iterator[Case]:
    """Read loose slices in batches, then volume after volume.

    Args:
        inputs: of `find_inputs`.
        batch_size: how many loose slices are read together.
        window: (low, high) in HU, for volumes.
        on_fault: called with a DataError for each slice or volume that cannot be used; the others go on.
        values: 'hu', or 'grey' for volumes windowed already; see `read_volume`.
        allow_gaps: see `read_volume`.
    """
    window = GREYS if values == "grey" else window
    files, pixels = [], []
    for name, path in inputs.slices.items():
        try:
            pixels.append(_read_slice(path))
        except DataError as fault:
            on_fault(fault)
            continue
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
            log.warning("%s is left out: %s", name, reason)
            continue
        except DataError as fault:
            on_fault(fault)
            continue
        yield case
        del case  # before the next one is read: a volume takes up to a gigabyte


def _case_of(name: str, volume: Volume, window: tuple[float, float]) -> Case:
    return Case([name] * len(volume.hu), [to_grey(hu, window, 8) for hu in volume.hu], name, volume)


def _read_slice(path: Path) -> np.ndarray:
    values = read_grey(path)
    if values.dtype != np.uint8:
        raise DataError(f"{path} has 16 bits; 8-bit grey is wanted. Window it first: anomask prepare.")
    return values


def input_batch(pixels: list[np.ndarray], size: int) -> SliceBatch:
    """Turn slices of any shape into a batch for the model, as `LoadSlice` does for slices without masks.

    Args:
        pixels: [H, W] uint8 each.
        size: S, side of the model's slices.
    """
    image = torch.stack([to_input(values, size) for values in pixels])
    lung = torch.from_numpy(np.stack([estimate_lungs(one[0].numpy()) for one in image]))[:, None]
    unknown = torch.zeros(len(image), dtype=torch.bool)
    return SliceBatch(image, torch.arange(len(image)), torch.zeros_like(lung), lung, unknown, unknown)
