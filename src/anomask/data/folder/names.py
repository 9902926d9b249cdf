"""Are folders and patients named as they were meant?"""

import re
from collections.abc import Iterable, Sequence
from itertools import combinations

from anomask.data.folder.findings import WARNING, Finding
from anomask.data.folder.records import LABELS, MASK_FOLDERS, SPLITS, SliceRecord

# What spreadsheets and data frames write where a value is missing: such patients would count as one.
NO_PATIENT = {"nan", "none", "null", "n/a", "na", "unknown", "?", "-"}


def edit_distance(first: str, second: str) -> int:
    """Return how many letters must be put in, left out or exchanged to make one word of the other (Levenshtein)."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def meant(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that `name` misspells: another case, a missing 's', up to two letters off."""
    near = {one: edit_distance(name.casefold(), one) for one in known}
    best = min(near, key=near.__getitem__)
    return best if name != best and near[best] <= min(2, len(best) // 3) else None


def unplaced_images(names: Iterable[str]) -> list[Finding]:
    """Report folders with images that are in no place of the layout, and so would be left out without a word."""
    held: dict[tuple[str, ...], int] = {}
    for name in names:
        parts = tuple(name.split("/")[:-1])
        place = parts[:2] if parts and parts[0] in SPLITS else parts[:1]
        held[place] = held.get(place, 0) + 1
    found = []
    for place, count in sorted(held.items()):
        folder = "/".join(place) or "."
        known = (*LABELS, *MASK_FOLDERS) if len(place) == 2 else SPLITS
        wanted = meant(place[-1], known) if place and place not in {(split,) for split in SPLITS} else None
        if wanted is not None:
            right = "/".join((*place[:-1], wanted))
            message = f"the folder {folder} ({count} images) is misspelt, {right} is wanted."
            found.append(Finding("misspelt folder", (folder,), message, f"Rename it to {right}."))
        else:
            message = f"{count} images in the folder {folder} are in no place of the layout and are ignored."
            remedy = "Move them to train/normal, test/normal or test/abnormal/<disease>, or out of the data folder."
            found.append(Finding("ignored images", (folder,), message, remedy, WARNING))
    return found


def disease_names(records: Sequence[SliceRecord]) -> list[Finding]:
    """Report disease folders that stand for something else, or that look like one another."""
    diseases = sorted({record.disease for record in records} - {"", "abnormal"})
    found = []
    for name in diseases:
        if name == "all":
            message, remedy = "test/abnormal/all: 'all' stands for all diseases in the tables.", "Rename the folder."
        elif name.casefold() == "normal" or meant(name, ("normal", "abnormal")):
            message = f"the disease folder {name} reads like a label: its slices would count as a disease of that name."
            remedy = "Move normal slices to test/normal, others to test/abnormal or a folder with the disease's name."
        else:
            continue
        found.append(Finding("misspelt folder", (f"test/abnormal/{name}",), message, remedy))
    for first, second in combinations(diseases, 2):
        if _look_alike(first, second):
            counts = [sum(record.disease == name for record in records) for name in (first, second)]
            message = f"the diseases {first} ({counts[0]} slices) and {second} ({counts[1]}) look like one, misspelt."
            remedy = "Put all slices into one folder if they are; results are per folder."
            files = tuple(f"test/abnormal/{name}" for name in (first, second))
            found.append(Finding("similar diseases", files, message, remedy, WARNING))
    return found


def _look_alike(first: str, second: str) -> bool:
    bare = [re.sub(r"[\W_]", "", name.casefold()) for name in (first, second)]
    if bare[0] == bare[1]:
        return True
    letters = [re.sub(r"\d", "", name) for name in bare]
    # Numbers tell stages and types apart; in short names two letters do as well.
    return letters[0] != letters[1] and min(map(len, bare)) >= 6 and edit_distance(*bare) <= 2


def missing_patients(records: Sequence[SliceRecord]) -> list[Finding]:
    """Report patients whose name says that nothing is known: all of them would count as one patient."""
    found = []
    for patient in sorted({record.patient for record in records if record.patient.casefold() in NO_PATIENT}):
        names = tuple(record.name for record in records if record.patient == patient)
        message = f"manifest.csv gives {len(names)} slices the patient {patient!r}, so they count as one person's."
        found.append(Finding("patient not known", names, message, "Leave the cell empty where a patient is unknown."))
    return found


def parts_of_the_set(records: Sequence[SliceRecord]) -> list[Finding]:
    """Report parts that are empty, and abnormal training slices, which nothing uses."""
    found = []
    for label in LABELS:
        if not any((record.split, record.label) == ("test", label) for record in records):
            message = f"there are no slices in test/{label}: a detector cannot be evaluated on both kinds."
            remedy = "Put slices there, or go on if you only want to train."
            found.append(Finding("empty part", (f"test/{label}",), message, remedy, WARNING))
    unused = tuple(record.name for record in records if (record.split, record.label) == ("train", "abnormal"))
    if unused:
        message = f"{len(unused)} slices are in train/abnormal, where nothing uses them: training takes normals alone."
        found.append(Finding("unused slices", unused, message, "Move them to test/abnormal, or remove them.", WARNING))
    return found
