"""The training normals of several data folders as one, for a detector that belongs to no single hospital."""

import csv
import io
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from anomask.data.folder.manifest import MANIFEST, read_folder
from anomask.data.folder.records import SliceRecord
from anomask.errors import ConfigError
from anomask.files import whole_folder, write_json, write_text

MARKER = "pool.json"  # which folders were pooled
COLUMNS = ("path", "patient", "source", "lung_mask")


def write_pool(folders: Sequence[Path], output: Path) -> dict[str, int]:
    """Copy the training normals of data folders into one, which appears whole or not at all.

    A slice's source is the folder that it came from. Patients of one name are taken for one, since public sets overlap.
    Test slices are left where they are: a pooled detector is evaluated on each of them by itself.

    Args:
        folders: in the layout of `anomask.data.folder.manifest.LAYOUT`; their last names tell them apart.
        output: the new data folder; an earlier pool there is replaced.

    Returns:
        the number of slices of each folder

    Raises:
        ConfigError: fewer than two folders, two of one name, or other files in the output.
        DataError, SplitError: a folder that could not be trained on.
    """
    names = [folder.resolve().name for folder in folders]
    if len(names) < 2:
        raise ConfigError(f"folders names {len(names)} data folder; two or more are wanted: folders=[<one>,<another>].")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ConfigError(f"two of the folders are called {twice[0]}: their slices would be one source. Rename one.")
    pooled = {
        name: [record for record in read_folder(folder) if (record.split, record.label) == ("train", "normal")]
        for name, folder in zip(names, folders, strict=True)
    }
    with whole_folder(output, MARKER) as part:
        rows = [_copy(record, name, part) for name, records in pooled.items() for record in records]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
        write_text(part / MANIFEST, text.getvalue())
        counts = {name: len(records) for name, records in pooled.items()}
        write_json(part / MARKER, {"folders": [str(folder) for folder in folders], "slices": counts})
    return counts


def _copy(record: SliceRecord, source: str, part: Path) -> tuple[str, ...]:
    place = PurePosixPath(source, *PurePosixPath(record.name).parts[2:])  # below train/normal
    slice_name, mask_name = f"train/normal/{place}", f"train/lung_masks/{place}"
    for file, name in ((record.path, slice_name), (record.lung_mask, mask_name)):
        if file is not None:
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, part / name)
    return slice_name, record.patient, source, mask_name if record.lung_mask is not None else ""
