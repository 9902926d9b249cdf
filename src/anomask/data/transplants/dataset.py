"""A data folder of transplants: untouched hosts as normals, the same slices with a lesion as abnormal ones."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from anomask.data.folder.manifest import SliceRecord, read_folder
from anomask.data.folder.splits import split_validation
from anomask.data.loading.slices import read_mask, read_slice, to_square
from anomask.data.lungs import estimate_lungs
from anomask.data.transplants.lesions import Lesion, cut_lesions, half_of, rescaled, transplant
from anomask.errors import DataError
from anomask.files import write_json
from anomask.progress import bar

COLUMNS = ("path", "patient", "source", "disease", "mask", "lesion_donor")
ORIGIN = ("path", "lesion_patient", "lesion_slice", "scale")  # of lesions.csv
DONOR = COLUMNS.index("lesion_donor")
LEAST_LUNG = 0.08  # of the slice; below it gas in the stomach is as large as the lung
TRIES = 20  # lesions that are tried before a host is left out of a contrast
TOLERANCE_PX = 2  # the lesion stays this far inside the estimated lung


class Recipe(NamedTuple):
    """What is put where."""

    hosts: Path  # data folder of the normal slices
    donors: tuple[Path, ...]  # data folders whose abnormal slices have lesion masks
    half: str  # 'development' (hosts: validation normals) or 'test' (hosts: test normals)
    validation_share: float  # of the hosts' training normals, as in training
    scales: tuple[float, float]  # range of the lesions' side, drawn evenly on a log scale
    strengths: dict[str, float]  # name of the contrast -> strength
    seed: int


def collect_lesions(donors: Sequence[Path], half: str) -> list[Lesion]:
    """Cut the lesions of one half of the donors' patients; where patients are unknown a slice counts as one.

    Raises:
        DataError: a half that is neither, or donors without lesions.
    """
    if half not in ("development", "test"):
        raise DataError(f"half is {half!r}; use development or test.")
    found = []
    for folder in donors:
        records = [record for record in read_folder(folder) if record.disease and record.mask is not None]
        kept = half_of([record.patient or record.name for record in records], half)
        for record in records:
            if (record.patient or record.name) in kept:
                found += _cut(record)
    if not found:
        raise DataError(
            f"no lesions of the {half} half in {', '.join(map(str, donors))}: abnormal slices with masks are wanted."
        )
    return found


def _cut(record: SliceRecord) -> list[Lesion]:
    pixels = read_slice(record.path)
    image = to_square(pixels / np.float32(255), pixels.min() / 255.0)
    mask = to_square(read_mask(record.mask, pixels.shape), False)
    known = record.lung_mask is not None
    lung = to_square(read_mask(record.lung_mask, pixels.shape), False) if known else estimate_lungs(image)
    return cut_lesions(image, mask, lung | mask, record.patient, record.path.name)


def host_records(recipe: Recipe) -> tuple[list[SliceRecord], list[SliceRecord]]:
    """Return training normals and hosts: the hosts are never slices that a detector was trained on."""
    records = read_folder(recipe.hosts)
    normals = [record for record in records if record.label == "normal"]
    training = [record for record in normals if record.split == "train"]
    kept, validation, _ = split_validation(training, recipe.validation_share)
    test = [record for record in normals if record.split == "test"]
    return (kept, validation) if recipe.half == "development" else (training, test)


def write_transplants(recipe: Recipe, folder: Path, progress: bool) -> int:
    """Write the data folder; a folder that holds the same recipe already is left as it is.

    Args:
        recipe: what is put where.
        folder: in the layout of `anomask.data.folder.manifest.LAYOUT`; appears whole or not at all.
        progress: whether to show a progress bar.

    Returns:
        the number of abnormal slices

    Raises:
        DataError: another recipe in the folder, no lesions, or no host with lung.
    """
    about = json.loads(json.dumps(recipe._asdict(), default=str))
    marker = folder / "transplants.json"
    if marker.is_file() and (found := json.loads(marker.read_text(encoding="utf-8")))["recipe"] == about:
        _require_donors(folder)
        return found["n_abnormal"]
    if folder.exists():
        raise DataError(
            f"{folder} exists and holds something else than these transplants. Give another folder or remove it."
        )
    lesions = collect_lesions(recipe.donors, recipe.half)
    training, hosts = host_records(recipe)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    rows = [_copy(record, f"train/normal/{record.path.name}", part) for record in training]
    count = 0
    for number, record in enumerate(bar(hosts, "transplants", "slice", wanted=progress)):
        made = _transplant_into(record, lesions, recipe, np.random.default_rng([recipe.seed, number]), part)
        if made:
            rows += [_copy(record, f"test/normal/{record.path.name}", part, made[0][DONOR]), *made]
            count += len(made)
    if not count:
        shutil.rmtree(part, ignore_errors=True)
        raise DataError(f"no normal slice of {recipe.hosts} shows enough lung for a lesion.")
    _write_csv(part / "manifest.csv", COLUMNS, [row[: len(COLUMNS)] for row in rows])
    _write_csv(part / "lesions.csv", ORIGIN, [(row[0], *row[len(COLUMNS) :]) for row in rows if row[-1]])
    write_json(part / "transplants.json", {"recipe": about, "n_abnormal": count, "n_lesions": len(lesions)})
    part.rename(folder)
    return count


def _require_donors(folder: Path) -> None:
    manifest = folder / "manifest.csv"
    header = manifest.read_text(encoding="utf-8", errors="replace").partition("\n")[0] if manifest.is_file() else ""
    if "lesion_donor" in header.strip().split(","):
        return
    raise DataError(
        f"{folder} is damaged or of an earlier version: its manifest.csv does not say whose lesion a slice was "
        "given (column lesion_donor). Remove the folder and start again: the same slices are made."
    )


def _write_csv(file: Path, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


def _copy(record: SliceRecord, name: str, part: Path, donor: str = "") -> tuple[str, ...]:
    (part / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(record.path, part / name)
    return (name, record.patient, record.source, "", "", donor, "", "", "")


def _transplant_into(
    record: SliceRecord, lesions: Sequence[Lesion], recipe: Recipe, rng: np.random.Generator, part: Path
) -> list[tuple[str, ...]]:
    pixels = read_slice(record.path)
    host = to_square(pixels / np.float32(255), pixels.min() / 255.0)
    lung = estimate_lungs(host)
    if lung.mean() < LEAST_LUNG:
        return []
    lung = ndimage.binary_erosion(lung, iterations=TOLERANCE_PX)
    others = [lesion for lesion in lesions if not lesion.patient or lesion.patient != record.patient]
    for _ in range(TRIES if others else 0):
        low, high = np.log(recipe.scales)
        scale = float(np.exp(rng.uniform(low, high)))
        lesion = rescaled(others[rng.integers(len(others))], scale)
        place = int(rng.integers(2**32))  # the same place for every contrast
        made = {
            name: transplant(host, lung, lesion, strength, np.random.default_rng(place))
            for name, strength in recipe.strengths.items()
        }
        if None not in made.values():
            return [_write(record, name, *made[name], lesion, scale, part) for name in made]
    return []


def _write(
    record: SliceRecord, contrast: str, image: np.ndarray, mask: np.ndarray, lesion: Lesion, scale: float, part: Path
) -> tuple[str, ...]:
    name, mask_name = (f"test/{kind}/{contrast}/{record.path.name}" for kind in ("abnormal", "masks"))
    for target, values in ((name, image), (mask_name, mask)):
        (part / target).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(values * 255.0).astype(np.uint8)).save(part / target)
    about = (lesion.patient, lesion.source, f"{scale:.3f}")
    return (name, record.patient, record.source, contrast, mask_name, lesion.patient or lesion.source, *about)
