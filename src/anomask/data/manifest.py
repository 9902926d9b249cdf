"""What a data folder holds: one record a slice, from its folders or its manifest.csv, checked at once."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from anomask.errors import DataError, SplitError

LAYOUT = (
    "train/normal/*.png, test/normal/*.png, test/abnormal/*.png or test/abnormal/<disease>/*.png, optional masks and "
    "lung_masks beside normal and abnormal, optional manifest.csv"
)


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


def natural_key(text: str) -> list[tuple[int, int | str]]:
    """Sort key under which slice_10 follows slice_9: neighbouring slices stay neighbours."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text)]


def read_folder(folder: Path) -> list[SliceRecord]:
    """List the slices of a data folder in natural order of their names.

    Args:
        folder: in the layout `LAYOUT`; columns of manifest.csv: path, and any of split, label, disease, patient,
            source, mask, lung_mask.

    Raises:
        DataError: nothing there, no training normals, a mask without a slice or of two slices, a manifest that cannot
            be read or disagrees with the files.
        SplitError: a patient in train and test.
    """
    if not folder.is_dir():
        raise DataError(f"no data folder at {folder}. Wanted: {LAYOUT}. Set data.folder or ANOMASK_DATA.")
    records = {record.name: record for record in _scan(folder)}
    if not records:
        raise DataError(f"no slices in {folder}. Wanted: 8-bit grey PNG files in the layout {LAYOUT}.")
    lines: dict[str, int] = {}
    if (folder / "manifest.csv").is_file():
        records, lines = _join_manifest(folder, records)
    ordered = sorted(records.values(), key=lambda record: natural_key(record.name))
    if not any(record.split == "train" and record.label == "normal" for record in ordered):
        raise DataError(
            f"no normal slices to train on in {folder}/train/normal (found {len(ordered)} others). The "
            "method learns from normal slices alone: put them there."
        )
    _check_masks(folder, ordered)
    _check_patients(ordered, lines)
    return ordered


def _scan(folder: Path) -> Iterable[SliceRecord]:
    for split in ("train", "test"):
        for label in ("normal", "abnormal"):
            root = folder / split / label
            for path in sorted(path for path in root.rglob("*") if path.suffix.lower() in IMAGES):
                if path.suffix != ".png":  # leaving it out would shrink the data without a word
                    raise DataError(
                        f"{path} is not a .png; slices are 8-bit grey PNG, named .png. Convert or rename it."
                    )
                parts = path.relative_to(root).parts
                disease = "" if label == "normal" else (parts[0] if len(parts) > 1 else "abnormal")
                if disease == "all":
                    raise DataError(f"{root / 'all'}: 'all' stands for all diseases in the tables. Rename the folder.")
                name = path.relative_to(folder).as_posix()
                mask, lung_mask = (_companion(folder / split / kind, label, path, parts) for kind in MASK_FOLDERS)
                yield SliceRecord(path, name, split, label, disease, mask=mask, lung_mask=lung_mask)


MASK_FOLDERS = ("masks", "lung_masks")
IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".dcm", ".nii"}
COLUMNS = ("path", "split", "label", "disease", "patient", "source", "mask", "lung_mask")
COLUMNS += ("series", "slice", "spacing_mm")  # written by anomask.prepare; not used here


def _companion(root: Path, label: str, path: Path, parts: tuple[str, ...]) -> Path | None:
    # The same place below masks/, below masks/normal/ for normals, or flat by name.
    places = (root.joinpath(*parts), root / label / path.name, root / path.name)
    return next((place for place in places if place.is_file()), None)


def _join_manifest(folder: Path, records: dict[str, SliceRecord]) -> tuple[dict[str, SliceRecord], dict[str, int]]:
    file = folder / "manifest.csv"
    rows = _read_rows(file)
    joined: dict[str, SliceRecord] = {}
    lines: dict[str, int] = {}
    for line, row in rows:
        name, where = row["path"], f"{file.name} line {line}"
        if name in lines:
            raise DataError(
                f"{name} is listed twice in {file} (lines {lines[name]} and {line}). Keep one line a slice."
            )
        if name not in records:
            raise DataError(f"{where} lists {name}, which is not in {folder} or not in the layout {LAYOUT}.")
        lines[name] = line
        joined[name] = _merge(folder, records[name], row, where)
    missing = sorted(records.keys() - joined.keys())
    if missing:
        raise DataError(
            f"{len(missing)} slices of {folder} are not in manifest.csv, the first is {missing[0]}. Add "
            "them, so that their patients are known, or remove the files."
        )
    return joined, lines


def _read_rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            # Blanks around a value would make two patients of one.
            rows = [(reader.line_num, {key: (row[key] or "").strip() for key in columns}) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read ({error}). Save it as comma-separated UTF-8.") from error
    if "path" not in columns:
        raise DataError(f"{file} has columns {columns}; a column 'path' is wanted.")
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:  # a misspelt 'patient' would silently give up the split by patient
        raise DataError(
            f"{file} has unknown columns {unknown}; the known ones are {', '.join(COLUMNS)}. Rename or remove them."
        )
    return rows


def _merge(folder: Path, record: SliceRecord, row: dict[str, str], where: str) -> SliceRecord:
    for key in ("split", "label", "disease"):
        if row.get(key) and row[key] != getattr(record, key):
            raise DataError(
                f"{where} says {key} {row[key]!r}, the folder says {getattr(record, key)!r}: {record.name}. "
                "Move the file or correct the line."
            )
    record = replace(record, patient=row.get("patient") or "", source=row.get("source") or "")
    for key in ("mask", "lung_mask"):
        if row.get(key):
            if not (folder / row[key]).is_file():
                raise DataError(f"{where} names the {key} {row[key]}, which does not exist in {folder}.")
            record = replace(record, **{key: folder / row[key]})
    return record


def _check_masks(folder: Path, records: list[SliceRecord]) -> None:
    used: dict[Path, SliceRecord] = {}
    for record in records:
        for path in filter(None, (record.mask, record.lung_mask)):
            other = used.setdefault(path, record)
            if other is not record:
                raise DataError(
                    f"{path} is the mask of {other.name} and of {record.name}. One mask belongs to one "
                    "slice: use masks/<disease>/ and masks/normal/ where names repeat."
                )
    for kind in MASK_FOLDERS:
        for split in ("train", "test"):
            for path in sorted((folder / split / kind).rglob("*.png")):
                if path not in used:
                    raise DataError(f"{path} is a mask without a slice of that name. Add the slice or remove the mask.")


def _check_patients(records: list[SliceRecord], lines: dict[str, int]) -> None:
    first: dict[str, SliceRecord] = {}
    for record in records:
        other = first.setdefault(record.patient, record)
        if record.patient and other.split != record.split:
            raise SplitError(
                f"patient {record.patient} is in {other.split} and {record.split} (manifest.csv lines "
                f"{lines[other.name]} and {lines[record.name]}). A patient may be in one split only: move all of its "
                "slices to one of them."
            )


def check_duplicates(records: Sequence[SliceRecord], hashes: Sequence[str]) -> None:
    """Raise where one image file is there twice.

    Args:
        records: all slices of a folder.
        hashes: of their files, in the same order. Files alone are compared: a re-encoded copy is not found.

    Raises:
        SplitError: the copies are in train and test.
        DataError: the copies are in one split.
    """
    first: dict[str, SliceRecord] = {}
    for record, content in zip(records, hashes, strict=True):
        other = first.setdefault(content, record)
        if other is not record:
            kind = DataError if other.split == record.split else SplitError
            raise kind(
                f"{other.name} and {record.name} are the same image. A slice may be in a data folder once: "
                "remove one of them."
            )
