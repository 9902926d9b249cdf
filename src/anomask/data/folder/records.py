"""One slice of a data folder, and the folder's layout in words."""

import re
from dataclasses import dataclass
from pathlib import Path

LAYOUT = (
    "train/normal/*.png, test/normal/*.png, test/abnormal/*.png or test/abnormal/<disease>/*.png, optional masks and "
    "lung_masks beside normal and abnormal, optional manifest.csv"
)
SPLITS = ("train", "test")
LABELS = ("normal", "abnormal")
MASK_FOLDERS = ("masks", "lung_masks")
PHANTOM = "phantom.json"  # beside the slices of a phantom: how they were drawn


@dataclass(frozen=True)
class SliceRecord:
    """One slice of a data folder."""

    path: Path
    name: str  # path inside the data folder, with forward slashes
    split: str  # 'train' or 'test'
    label: str  # 'normal' or 'abnormal'
    disease: str = ""  # '' for normal slices; 'abnormal' where the folders don't name it
    patient: str = ""  # '' where unknown
    source: str = ""
    mask: Path | None = None  # lesion ground truth
    lung_mask: Path | None = None
    lesion_donor: str = ""  # transplants: whose lesion this slice, or a copy of it, was given


def is_synthetic(folder: Path) -> bool:
    """Tell whether the slices of a data folder are drawn and say nothing about patients."""
    return (folder / PHANTOM).is_file()


def natural_key(text: str) -> list[tuple[int, int | str]]:
    """Sort key under which slice_10 follows slice_9: neighbouring slices stay neighbours."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text)]
