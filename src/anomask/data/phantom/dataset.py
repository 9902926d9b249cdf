"""A synthetic lung-CT data set with exact lesion masks, for tests and for teaching; its scores say nothing of patients.

Every slice is drawn from a seed: healthy anatomy (`phantom_anatomy`), at will a lesion of one of five families
(`phantom_lesions`), then the blur, noise and calibration of the patient's scanner. Patients differ so much that the
mean, the deviation or the sharpness of a whole slice does not tell who is ill; a test holds that.
"""

import csv
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from anomask.data.folder.records import PHANTOM
from anomask.data.phantom.patient import Patient, sample_patient
from anomask.data.phantom.scan import FAMILIES, LESION_RISE_HU, PhantomSlice, phantom_slice
from anomask.errors import ConfigError, DataError
from anomask.files import write_json
from anomask.progress import bar

__all__ = ["FAMILIES", "LESION_RISE_HU", "Patient", "PhantomSlice", "phantom_slice", "sample_patient", "write_phantom"]

LEVELS = (0.06, 0.95)  # the range of levels in a data set: where there is lung to be ill
VERSION = 1  # raise it when the same seed draws other pictures
COLUMNS = ("path", "split", "label", "disease", "patient", "source", "mask", "lung_mask")


class Entry(NamedTuple):
    """What a slice of a data set shows: the `number`-th of a patient (healthy) or of a family."""

    split: str
    patient: int
    level: float
    family: str | None
    number: int


def write_phantom(
    folder: Path | str,
    *,
    size: int = 128,
    train_patients: int = 24,
    test_patients: int = 12,
    slices_per_patient: int = 12,
    abnormal_per_family: int = 24,
    seed: int = 0,
    window_low_hu: float = -1350.0,
    window_high_hu: float = 150.0,
    progress: bool = True,
) -> None:
    """Write a phantom data set: 8-bit PNG slices, lesion and lung masks, `manifest.csv` and `phantom.json`.

    The same settings give the same bytes. Healthy slices are spread over the levels of every patient; the lesions of a
    family go round all test patients, and their levels cover the same range, so patient and level tell nothing. The
    folder appears whole or not at all; an identical phantom that is already there is left as it is.

    Args:
        folder: where to; must not exist, be empty, or hold the identical phantom.
        size: pixels along each side.
        train_patients: healthy patients to train on; none of them is in the test set.
        test_patients: patients with healthy and diseased slices.
        slices_per_patient: healthy slices of each patient.
        abnormal_per_family: diseased slices of each family.
        seed: decides everything random.
        window_low_hu: HU that becomes 0.
        window_high_hu: HU that becomes 255.
        progress: show a progress bar.

    Raises:
        ConfigError: a count below 1, a size below 32, a negative seed or an empty window.
        DataError: the folder holds something else.
    """
    settings = {
        "size": size,
        "train_patients": train_patients,
        "test_patients": test_patients,
        "slices_per_patient": slices_per_patient,
        "abnormal_per_family": abnormal_per_family,
        "seed": seed,
        "window_low_hu": window_low_hu,
        "window_high_hu": window_high_hu,
    }
    counts = [train_patients, test_patients, slices_per_patient, abnormal_per_family]
    if min(counts) < 1 or size < 32 or seed < 0 or window_low_hu >= window_high_hu:
        what = "counts >= 1, size >= 32, seed >= 0 and low < high"
        raise ConfigError(f"phantom settings are {settings}; wanted {what}. Change them.")
    record = {"synthetic": True, "kind": "anomask phantom", "version": VERSION, **settings}
    if not _is_written(Path(folder), record):
        _write_whole(Path(folder), settings, record, progress)


def _write_whole(folder: Path, settings: dict, record: dict, progress: bool) -> None:
    """Write the phantom beside `folder` and move it there at the end."""
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        part.mkdir(parents=True)
        plan = list(_plan(settings))
        rows = [_write_slice(part, settings, entry) for entry in bar(plan, "phantom", "slice", wanted=progress)]
        with (part / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
        write_json(part / PHANTOM, record)
        try:
            os.replace(part, folder)  # over an empty folder at most
        except OSError:  # another process of a sweep was faster: fine if it wrote the same
            if not _is_written(folder, record):
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _is_written(folder: Path, record: dict) -> bool:
    """Tell whether the folder holds this very phantom; an error if it holds anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / PHANTOM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found == record:
        return True
    what = f"a phantom with other settings ({found})" if found else "something that is not a phantom"
    raise DataError(f"{folder} holds {what}; wanted a new folder for {record}. Give another folder or remove this one.")


def _plan(settings: dict) -> Iterator[Entry]:
    """Yield what every slice shows; the levels of a patient, and those of a family, are spread evenly."""
    low, high = LEVELS
    rng = np.random.default_rng([settings["seed"], 0])
    per_patient = settings["slices_per_patient"]
    for split in ("train", "test"):
        for patient in range(settings[f"{split}_patients"]):
            for number in range(per_patient):
                yield Entry(split, patient, low + (high - low) * (number + rng.random()) / per_patient, None, number)
    count, patients = settings["abnormal_per_family"], settings["test_patients"]
    for family in FAMILIES:
        turns = [patient for _ in range(-(-count // patients)) for patient in rng.permutation(patients)]
        for number, patient in enumerate(turns[:count]):  # rising levels; every patient has a turn in each round
            yield Entry("test", int(patient), low + (high - low) * (number + rng.random()) / count, family, number)


def _write_slice(part: Path, settings: dict, entry: Entry) -> tuple[str, ...]:
    """Draw one slice, write its images and return its row of the manifest."""
    split, patient, level, family, number = entry
    stream = [settings["seed"], 1 + (split == "test"), patient]  # each slice has its own: order does not matter
    who = sample_patient(np.random.default_rng(stream))
    kind = 0 if family is None else 1 + FAMILIES.index(family)
    drawn = phantom_slice(who, level, settings["size"], np.random.default_rng([*stream, kind, number]), family)
    low, high = settings["window_low_hu"], settings["window_high_hu"]
    grey = np.rint((drawn.hu - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8)
    name = f"{split}{patient:03d}_{number:03d}.png"
    group = family or "normal"
    path = f"{split}/abnormal/{group}/{name}" if family else f"{split}/normal/{name}"
    lung_path, mask_path = f"{split}/lung_masks/{group}/{name}", f"{split}/masks/{group}/{name}" if family else ""
    images = {path: grey, lung_path: drawn.lung_mask, mask_path: drawn.lesion_mask}
    for target, image in images.items():
        if target:
            (part / target).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image if image.dtype == np.uint8 else image.astype(np.uint8) * 255).save(part / target)
    label = "abnormal" if family else "normal"
    return path, split, label, family or "", f"{split}{patient:03d}", "synthetic phantom", mask_path, lung_path
