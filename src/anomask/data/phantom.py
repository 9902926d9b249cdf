"""A synthetic lung-CT data set with exact lesion masks, for tests and for teaching; its scores say nothing of patients.

Every slice is drawn from a seed: healthy anatomy (`phantom_anatomy`), at will a lesion of one of five families
(`phantom_lesions`), then the blur, noise and calibration of the patient's scanner. Patients differ so much that the
mean, the deviation or the sharpness of a whole slice does not tell who is ill; a test holds that.
"""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from anomask.data.phantom_anatomy import SOFT_TISSUE_HU, draw_thorax
from anomask.data.phantom_lesions import PAINTERS, draw_lesion
from anomask.data.phantom_patient import Patient, sample_patient
from anomask.data.phantom_shapes import Grid
from anomask.errors import ConfigError, DataError
from anomask.files import write_json

__all__ = ["FAMILIES", "LESION_RISE_HU", "Patient", "PhantomSlice", "phantom_slice", "sample_patient", "write_phantom"]

FAMILIES: tuple[str, ...] = ("covid19", "bacterial", "fungal", "mycoplasma", "cancer")
LESION_RISE_HU = 50.0  # a lesion is where it adds more than this, about the noise of a low-dose scan
LEVELS = (0.06, 0.95)  # the range of levels in a data set: where there is lung to be ill
VERSION = 1  # raise it when the same seed draws other pictures
COLUMNS = ("path", "split", "label", "disease", "patient", "source", "mask", "lung_mask")


class PhantomSlice(NamedTuple):
    """One slice: `hu` [H, W] float32, `lung_mask` and `lesion_mask` [H, W] bool; the lesion lies in the lungs."""

    hu: np.ndarray
    lung_mask: np.ndarray
    lesion_mask: np.ndarray


def phantom_slice(
    patient: Patient, level: float, size: int, rng: np.random.Generator, family: str | None = None
) -> PhantomSlice:
    """Draw one slice of a patient.

    Anatomy, lesion and noise have sources of their own: the same generator state with and without a family gives the
    same slice with and without the lesion.

    Args:
        patient: from `sample_patient`.
        level: 0 at the apex of the lungs, 1 at their base.
        size: pixels along each side; the spacing is the patient's field of view over it.
        rng: the source of randomness; three integers are taken from it.
        family: one of `FAMILIES`, or None for a healthy slice.

    Returns:
        The slice. The lesion mask is where the lesion, blurred as the slice is, raises healthy lung tissue by more than
        `LESION_RISE_HU`; vessels and air bronchograms that run through a lesion belong to it.

    Raises:
        ConfigError: an unknown family, a level outside [0, 1] or a size below 32.
    """
    if family is not None and family not in PAINTERS:
        raise ConfigError(f"family is {family!r}; wanted one of {', '.join(FAMILIES)} or None. Choose one of them.")
    if not 0 <= level <= 1 or size < 32:
        raise ConfigError(f"level is {level} and size {size}; wanted 0 <= level <= 1 and size >= 32. Change them.")
    of_anatomy, of_lesion, of_noise = (np.random.default_rng(int(seed)) for seed in rng.integers(2**62, size=3))
    thorax = draw_thorax(patient, level, size, of_anatomy)
    blur = patient.blur_mm / thorax.grid.spacing_mm
    lung = thorax.lung_distance < 0
    hu, lesion_mask = thorax.hu, np.zeros_like(lung)
    if family is not None:
        lesion = draw_lesion(family, thorax, of_lesion)
        hu = hu + lesion.opacity * np.maximum(SOFT_TISSUE_HU - hu, 0)
        rise = ndimage.gaussian_filter(lesion.extent * (SOFT_TISSUE_HU - thorax.parenchyma_hu), blur)
        lesion_mask = lung & (rise > LESION_RISE_HU)
    return PhantomSlice(_scan(hu, patient, thorax.grid, of_noise), lung, lesion_mask)


def _scan(hu: np.ndarray, patient: Patient, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Blur, sharpen, add noise and miscalibrate a noise-free slice [H, W] as the patient's scanner does."""
    spacing_mm = grid.spacing_mm
    seen = ndimage.gaussian_filter(hu, patient.blur_mm / spacing_mm)
    seen += patient.sharpening * (seen - ndimage.gaussian_filter(seen, 1.6 / spacing_mm))
    white = rng.standard_normal(hu.shape, np.float32)
    fine = ndimage.gaussian_filter(white, patient.noise_correlation_mm / spacing_mm)
    noise = fine - 0.7 * ndimage.gaussian_filter(white, 2.5 * patient.noise_correlation_mm / spacing_mm)
    across = np.exp(-(grid.x**2 + (1.4 * grid.y) ** 2) / 140**2)
    noise *= (0.6 + 0.6 * across) * patient.noise_hu / noise.std()  # more noise where the rays cross more tissue
    return ((seen + noise + 1000) * patient.gain - 1000 + patient.offset_hu).astype(np.float32)


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
        ConfigError: a count below 1, or an empty window.
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
    folder = Path(folder)
    counts = [train_patients, test_patients, slices_per_patient, abnormal_per_family]
    if min(counts) < 1 or window_low_hu >= window_high_hu:
        raise ConfigError(f"phantom settings are {settings}; wanted counts >= 1 and low < high. Change them.")
    record = {"synthetic": True, "kind": "anomask phantom", "version": VERSION, **settings}
    if _is_written(folder, record):
        return
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        plan = list(_plan(settings))
        rows = [_write_slice(part, settings, *item) for item in tqdm(plan, "phantom", disable=not progress)]
        with (part / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
        write_json(part / "phantom.json", record)
        os.replace(part, folder)  # over an empty folder at most
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _is_written(folder: Path, record: dict) -> bool:
    """Tell whether the folder holds this very phantom; an error if it holds anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / "phantom.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found == record:
        return True
    what = f"a phantom with other settings ({found})" if found else "something that is not a phantom"
    raise DataError(f"{folder} holds {what}; wanted a new folder for {record}. Give another folder or remove this one.")


def _plan(settings: dict) -> Iterator[tuple[str, int, float, str | None, int]]:
    """Yield (split, patient, level, family, number) of every slice."""
    low, high = LEVELS
    rng = np.random.default_rng([settings["seed"], 0])
    per_patient = settings["slices_per_patient"]
    for split in ("train", "test"):
        for patient in range(settings[f"{split}_patients"]):
            for number in range(per_patient):
                yield split, patient, low + (high - low) * (number + rng.random()) / per_patient, None, number
    count, patients = settings["abnormal_per_family"], settings["test_patients"]
    for family in FAMILIES:
        turns = [patient for _ in range(-(-count // patients)) for patient in rng.permutation(patients)]
        for number, patient in enumerate(turns[:count]):  # rising levels; every patient has a turn in each round
            yield "test", int(patient), low + (high - low) * (number + rng.random()) / count, family, number


def _write_slice(
    part: Path, settings: dict, split: str, patient: int, level: float, family: str | None, number: int
) -> tuple[str, ...]:
    """Draw one slice, write its images and return its row of the manifest."""
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
