"""Is every patient in one split only?"""

from collections.abc import Mapping, Sequence

from anomask.data.folder.findings import Finding
from anomask.data.folder.records import SliceRecord
from anomask.errors import SplitError


def shared_patients(records: Sequence[SliceRecord], lines: Mapping[str, int]) -> list[Finding]:
    """Report each patient with slices in two splits once.

    Args:
        records: all slices.
        lines: the line of manifest.csv of each slice.
    """
    first: dict[str, SliceRecord] = {}
    found: dict[str, Finding] = {}
    for record in records:
        other = first.setdefault(record.patient, record)
        if record.patient and other.split != record.split and record.patient not in found:
            message = (
                f"patient {record.patient} is in {other.split} and {record.split} (manifest.csv lines "
                f"{lines[other.name]} and {lines[record.name]})."
            )
            remedy = "A patient may be in one split only: move all of its slices to one of them."
            files = (other.name, record.name)
            found[record.patient] = Finding("patient in two splits", files, message, remedy, raises=SplitError)
    return list(found.values())
