"""Which slices and masks the folders of a data set hold."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from anomask.data.folder.findings import WARNING, Finding
from anomask.data.folder.names import unplaced_images
from anomask.data.folder.records import LABELS, MASK_FOLDERS, SPLITS, SliceRecord
from anomask.data.folder.tree import files_of

IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".dcm", ".nii"}
JUNK = {"thumbs.db", "desktop.ini"}


def scan(folder: Path) -> tuple[dict[str, SliceRecord], set[str], list[Finding]]:
    """Sort the files of a data folder into its layout.

    Returns:
        the slices by name, the names of all masks, and what is wrong with the folders
    """
    names, findings = files_of(folder)
    places = {kind: [name for name in names if _place(name) == kind] for kind in ("slices", "masks", "else")}
    masks = {name for name in places["masks"] if name.endswith(".png")}
    findings += _not_png(places["slices"], "slices are 8-bit grey PNG")
    findings += _not_png(places["masks"], "masks are PNG")
    slices = {name: _record(folder, name, masks) for name in places["slices"] if name.endswith(".png")}
    findings += unplaced_images(name for name in places["else"] if _is_image(name))
    findings += _other_files(name for name in names if name.split("/")[0] in SPLITS and not _is_image(name))
    return slices, masks, findings


def _place(name: str) -> str:
    parts = name.split("/")
    if len(parts) < 3 or parts[0] not in SPLITS or not _is_image(name):
        return "else"
    return "slices" if parts[1] in LABELS else "masks" if parts[1] in MASK_FOLDERS else "else"


def _is_image(name: str) -> bool:
    return PurePosixPath(name.removesuffix(".gz")).suffix.lower() in IMAGES


def _record(folder: Path, name: str, masks: set[str]) -> SliceRecord:
    split, label, *parts = name.split("/")
    disease = "" if label == "normal" else (parts[0] if len(parts) > 1 else "abnormal")
    mask, lung_mask = (_companion(f"{split}/{kind}", label, parts, masks) for kind in MASK_FOLDERS)
    found = (None if own is None else folder / own for own in (mask, lung_mask))
    return SliceRecord(folder / name, name, split, label, disease, "", "", *found)


def _companion(root: str, label: str, parts: list[str], masks: set[str]) -> str | None:
    # The same place below masks/, below masks/normal/ for normals, or flat by name.
    places = ("/".join((root, *parts)), f"{root}/{label}/{parts[-1]}", f"{root}/{parts[-1]}")
    return next((place for place in places if place in masks), None)


def _not_png(names: Iterable[str], wanted: str) -> list[Finding]:
    # Leaving them out would shrink the data without a word.
    return [
        Finding("not PNG", (name,), f"{name} is not a .png; {wanted}, named .png.", "Convert or rename it.")
        for name in names
        if not name.endswith(".png")
    ]


def _other_files(names: Iterable[str]) -> list[Finding]:
    other = tuple(name for name in names if PurePosixPath(name).name.lower() not in JUNK)
    message = f"{len(other)} files among the slices are no images and are ignored."
    return [Finding("ignored files", other, message, "Keep notes outside train and test.", WARNING)] if other else []
