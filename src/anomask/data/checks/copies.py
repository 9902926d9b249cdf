"""Is one image there twice?"""

from collections.abc import Sequence

from anomask.data.folder.findings import Finding
from anomask.data.folder.records import SliceRecord
from anomask.errors import DataError, SplitError


def copies(records: Sequence[SliceRecord], hashes: Sequence[str]) -> list[Finding]:
    """Report every file that is there twice; a SplitError where the two are in train and test.

    Args:
        records: all slices of a folder.
        hashes: of their files, in the same order. Files alone are compared: see `near_copies` for other copies.
    """
    first: dict[str, SliceRecord] = {}
    found = []
    for record, content in zip(records, hashes, strict=True):
        other = first.setdefault(content, record)
        if other is not record:
            apart = other.split != record.split
            message = f"{other.name} and {record.name} are the same image."
            remedy = "A slice may be in a data folder once: remove one of them."
            kind, raises = ("copy in two splits", SplitError) if apart else ("copy", DataError)
            found.append(Finding(kind, (other.name, record.name), message, remedy, raises=raises))
    return found
