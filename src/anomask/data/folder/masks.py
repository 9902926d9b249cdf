"""Does every mask belong to one slice, and does it mark something inside the lung?"""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from anomask.data.folder.findings import WARNING, Finding
from anomask.data.folder.records import SliceRecord


def pairing(folder: Path, records: Sequence[SliceRecord], masks: Iterable[str]) -> list[Finding]:
    """Report masks of two slices, masks of none, and masks that are named otherwise than their slice.

    Args:
        folder: the data folder.
        records: its slices, with their masks.
        masks: names of all masks in its mask folders.
    """
    owner: dict[str, SliceRecord] = {}
    found = []
    for record in records:
        for path in filter(None, (record.mask, record.lung_mask)):
            name = path.relative_to(folder).as_posix()
            other = owner.setdefault(name, record)
            if other is not record:
                message = f"{name} is the mask of {other.name} and of {record.name}. One mask belongs to one slice:"
                remedy = "use masks/<disease>/ and masks/normal/ where names repeat."
                found.append(Finding("shared mask", (name, other.name, record.name), message, remedy))
            elif PurePosixPath(name).stem != PurePosixPath(record.name).stem:
                message = f"manifest.csv gives {record.name} the mask {name}, which is named otherwise."
                remedy = "Check that the lines have not shifted; give both files one name."
                found.append(Finding("mask of another name", (name, record.name), message, remedy, WARNING))
    for name in sorted(set(masks) - owner.keys()):
        message = f"{name} is a mask without a slice of that name."
        found.append(Finding("mask without slice", (name,), message, "Add the slice or remove the mask."))
    return found


def partly_masked(records: Sequence[SliceRecord]) -> list[Finding]:
    """Report diseases some of whose test slices have a lesion mask and some have none."""
    found = []
    for disease in sorted({record.disease for record in records} - {""}):
        own = [record for record in records if (record.split, record.disease) == ("test", disease)]
        without = tuple(record.name for record in own if record.mask is None)
        if 0 < len(without) < len(own):
            message = f"{len(without)} of {len(own)} slices of {disease} have no mask; pixel figures leave them out."
            found.append(Finding("missing masks", without, message, "Add test/masks/... for them.", WARNING))
    return found


def lesion_on_normal(record: SliceRecord) -> Finding:
    """Return the finding that a normal slice has a lesion mask that is not empty."""
    return Finding(
        "lesion on a normal slice",
        (record.name,),
        f"{record.mask.name} marks a lesion on the normal slice {record.name}.",
        "Move the slice to abnormal or remove the mask.",
    )


def empty_mask(record: SliceRecord, name: str) -> Finding:
    """Return the finding that a mask, lesion or lung, of a slice marks nothing."""
    if name.split("/")[1:2] == ["lung_masks"]:
        remedy = "Draw the lung, or remove the mask so that the lung is estimated."
    else:
        remedy = "Draw the lesion, remove the mask if the lesion is not outlined, or move the slice to normal."
    return Finding("empty mask", (name, record.name), f"{name}, the mask of {record.name}, is empty.", remedy, WARNING)


def outside_lung(record: SliceRecord, name: str, inside: float) -> Finding:
    """Return the finding that a lesion mask lies outside the lung; `inside` is its share within the lung."""
    message = f"{name} has only {inside:.0%} of its lesion inside the lung of {record.name}."
    remedy = "Check that it is this slice's mask, not flipped or shifted, and that the lung mask covers the lesion."
    return Finding("mask outside the lung", (name, record.name), message, remedy, WARNING)


def mask_of_most(record: SliceRecord, name: str, share: float) -> Finding:
    """Return the finding that a lesion mask covers `share` of its slice, more than a lesion can."""
    message = f"{name} marks {share:.0%} of {record.name} as lesion."
    remedy = "Exchange black and white if the lesion is the black part."
    return Finding("inverted mask", (name, record.name), message, remedy, WARNING)
