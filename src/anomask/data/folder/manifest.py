"""What a data folder holds: one record a slice, from its folders and its manifest.csv, with all that is wrong."""

import csv
import os
from dataclasses import replace
from pathlib import Path

from anomask.data.folder.findings import Finding, finding_of, raise_first
from anomask.data.folder.layout import scan
from anomask.data.folder.masks import pairing
from anomask.data.folder.names import disease_names, missing_patients
from anomask.data.folder.patients import shared_patients
from anomask.data.folder.records import LAYOUT, SliceRecord, natural_key
from anomask.errors import DataError

__all__ = ["LAYOUT", "SliceRecord", "list_folder", "natural_key", "read_folder"]

COLUMNS = ("path", "split", "label", "disease", "patient", "source", "mask", "lung_mask", "lesion_donor")
COLUMNS += ("series", "slice", "spacing_mm")  # written by anomask prepare; not used here
MANIFEST = "manifest.csv"


def read_folder(folder: Path, to_train: bool = True) -> list[SliceRecord]:
    """List the slices of a data folder in natural order of their names.

    Args:
        folder: in the layout `LAYOUT`; columns of manifest.csv: path, and any of split, label, disease, patient,
            source, mask, lung_mask, lesion_donor (of transplants: intervals resample these instead of patients).
        to_train: whether it must have training normals; a set to evaluate on may be test slices alone.

    Raises:
        DataError: nothing there, no training normals, a mask without a slice or of two slices, a manifest that cannot
            be read or disagrees with the files.
        SplitError: a patient in train and test.
    """
    records, findings = list_folder(folder, to_train)
    raise_first(findings)
    return records


def list_folder(folder: Path, to_train: bool = True) -> tuple[list[SliceRecord], list[Finding]]:
    """List the slices as `read_folder` does, with all that is wrong with folders and manifest instead of an error.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"no data folder at {folder}. Wanted: {LAYOUT}. Set data.folder or ANOMASK_DATA.")
    records, masks, findings = scan(folder)
    lines: dict[str, int] = {}
    if records and (folder / MANIFEST).is_file():
        try:
            rows = _read_rows(folder / MANIFEST)
        except DataError as error:
            findings.append(finding_of(error))
        else:
            lines, more = _join(folder, records, rows)
            findings += more
    ordered = sorted(records.values(), key=lambda record: natural_key(record.name))
    findings += _nothing_to_train_on(folder, ordered) if to_train or not ordered else []
    findings += disease_names(ordered)
    findings += missing_patients(ordered)
    findings += pairing(folder, ordered, masks)
    findings += shared_patients(ordered, lines)
    return ordered, findings


def _nothing_to_train_on(folder: Path, records: list[SliceRecord]) -> list[Finding]:
    if not records:
        inner = next((one.parent.name for one in sorted(folder.glob("*/train")) if one.is_dir()), None)
        message = f"no slices in {folder}. Wanted: 8-bit grey PNG files in the layout {LAYOUT}."
        remedy = "Put slices there." if inner is None else f"The layout is one folder further down: use {inner}."
        return [Finding("no slices", ("train", "test"), message, remedy)]
    if any((record.split, record.label) == ("train", "normal") for record in records):
        return []
    message = f"no normal slices to train on in {folder / 'train/normal'} (found {len(records)} others)."
    remedy = (
        "The method learns from normal slices alone: put them there. To score these with a trained run: anomask "
        f"evaluate run=<run> folder={folder}"
    )
    return [Finding("no training normals", ("train/normal",), message, remedy)]


def _read_rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            # Blanks around a value would make two patients of one.
            rows = [(reader.line_num, {key: (row[key] or "").strip() for key in columns}) for row in reader]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise _manifest(f"{MANIFEST} cannot be read ({error}).", "Save it as comma-separated UTF-8.").error() from error
    if "path" not in columns:
        raise _manifest(f"{MANIFEST} has columns {columns}; a column 'path' is wanted.", "Add or rename it.").error()
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:  # a misspelt 'patient' would silently give up the split by patient
        message = f"{MANIFEST} has unknown columns {unknown}; the known ones are {', '.join(COLUMNS)}."
        raise _manifest(message, "Rename or remove them.").error()
    return rows


def _manifest(message: str, remedy: str, *files: str) -> Finding:
    return Finding("manifest", files or (MANIFEST,), message, remedy)


def _join(
    folder: Path, records: dict[str, SliceRecord], rows: list[tuple[int, dict[str, str]]]
) -> tuple[dict[str, int], list[Finding]]:
    """Put what the manifest knows into `records`, in place; return the line of each slice and the findings."""
    lines: dict[str, int] = {}
    found = []
    for line, row in rows:
        name, where = row["path"], f"{MANIFEST} line {line}"
        if name in lines:
            message = f"{name} is listed twice in {MANIFEST} (lines {lines[name]} and {line})."
            found.append(_manifest(message, "Keep one line a slice.", name))
        elif _leaves(name):
            found.append(_outside(where, name))
        elif name not in records:
            message = f"{where} lists {name}, which is not in {folder} or not in the layout {LAYOUT}."
            found.append(_manifest(message, "Correct the path (with forward slashes) or remove the line.", name))
        else:
            lines[name] = line
            records[name], more = _merge(folder, records[name], row, where)
            found += more
    missing = sorted(records.keys() - lines.keys())
    if missing:
        message = f"{len(missing)} slices of {folder} are not in {MANIFEST}, the first is {missing[0]}."
        found.append(_manifest(message, "Add them, so that their patients are known, or remove the files.", *missing))
    return lines, found


def _merge(folder: Path, record: SliceRecord, row: dict[str, str], where: str) -> tuple[SliceRecord, list[Finding]]:
    found = []
    for key in ("split", "label", "disease"):
        if row.get(key) and row[key] != getattr(record, key):
            message = f"{where} says {key} {row[key]!r}, the folder says {getattr(record, key)!r}: {record.name}."
            found.append(_manifest(message, "Move the file or correct the line.", record.name))
    known = {key: row.get(key) or "" for key in ("patient", "source", "lesion_donor")}
    record = replace(record, **known)
    for key in ("mask", "lung_mask"):
        if not row.get(key):
            continue
        if _leaves(row[key]):
            found.append(_outside(where, row[key]))
        elif (folder / row[key]).is_file():
            record = replace(record, **{key: folder / os.path.normpath(row[key])})
        else:
            message = f"{where} names the {key} {row[key]}, which does not exist in {folder}."
            found.append(_manifest(message, "Add the file or correct the line.", record.name))
    return record, found


def _leaves(name: str) -> bool:
    return os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir


def _outside(where: str, name: str) -> Finding:
    message = f"{where} names {name}, which is outside the data folder."
    return Finding("path outside the folder", (name,), message, "Copy the file into the folder and name it there.")
