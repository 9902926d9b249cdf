"""The folder through which slices go to another environment and maps come back.

=============================  =========================================================================================
``train/00000.png`` ...        training normals, 8-bit grey, at the model's size S; likewise ``validation`` and ``test``
``weights.pth``                pretrained weights, where the packaged ones are asked for
``textures/``                  empty: models that paste textures fall back on noise
``manifest.json``              size, seed, batch size, the model's recipe, and the file names of each set; written last
``maps/test/00000.npy`` ...    the answer: one float32 [S, S] for each validation and test slice, higher is worse
``cost.json``                  the answer's bill: seconds, steps, parameters, versions ...; written last
=============================  =========================================================================================

Labels, masks, names and patients stay here: the other side could not use them if it tried.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from anomask.baselines.external import to_grey
from anomask.data.loading.slices import SliceDataset
from anomask.errors import ExternalError
from anomask.files import whole_file, write_json

ASKED = ("validation", "test")  # the sets that maps are wanted of


def export(folder: Path, sets: dict[str, SliceDataset], about: dict[str, Any]) -> None:
    """Write slices and manifest.

    Args:
        folder: the exchange folder.
        sets: 'train', 'validation' and 'test'.
        about: what the manifest says beside file names: size, seed, batch_size, model ...
    """
    names = {}
    for split, rows in sets.items():
        names[split] = [f"{split}/{row:05d}.png" for row in range(len(rows))]
        for name, batch in zip(names[split], rows, strict=True):
            with whole_file(folder / name) as file:
                Image.fromarray(to_grey(batch.image[0])).save(file)
    (folder / "textures").mkdir()
    write_json(folder / "manifest.json", {**about, "slices": names})


def images_of(rows: SliceDataset) -> Tensor:
    """Return all slices of a set, [n, 1, S, S]."""
    return torch.stack([batch.image for batch in rows])


def read_maps(folder: Path, sets: dict[str, SliceDataset], size: int) -> dict[str, Tensor]:
    """Read the maps of the validation and test slices, each [n, 1, S, S] and as they were written.

    Raises:
        ExternalError: one is missing, of another size or kind, or not finite.
    """
    return {
        split: torch.stack([_read_map(folder / "maps" / split / f"{row:05d}.npy", size) for row in range(len(rows))])
        for split, rows in sets.items()
        if split in ASKED
    }


def _read_map(file: Path, size: int) -> Tensor:
    try:
        values = np.load(file)
    except (OSError, ValueError, EOFError) as error:
        raise ExternalError(f"{file} cannot be read ({error}): the other side wrote no whole map there.") from error
    if values.shape != (size, size) or values.dtype != np.float32 or not np.isfinite(values).all():
        raise ExternalError(
            f"{file} is {values.dtype} {list(values.shape)}{'' if np.isfinite(values).all() else ', not finite'}; a "
            f"finite float32 [{size}, {size}] is wanted. The model diverged, or its runner is at fault."
        )
    return torch.from_numpy(values)[None]


def lift(maps: dict[str, Tensor]) -> float:
    """Shift maps of one model in place so that none is below 0, and return by how much: ranks and differences stay."""
    shift = max(0.0, *(-float(values.min()) for values in maps.values()))
    for values in maps.values():
        values.add_(shift)
    return shift


def read_cost(folder: Path, wanted: Sequence[str]) -> dict[str, Any]:
    """Read the other side's bill.

    Args:
        folder: the exchange folder.
        wanted: keys that it has to have.

    Raises:
        ExternalError: there is none, or it is incomplete.
    """
    file = folder / "cost.json"
    bill = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    missing = [key for key in wanted if key not in bill]
    if missing:
        raise ExternalError(f"{file} lacks {', '.join(missing)}: the other side did not finish.")
    return bill
