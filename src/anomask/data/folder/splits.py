"""Validation normals: whole patients where patients are known, contiguous blocks where they are not."""

from collections.abc import Sequence
from itertools import groupby

from anomask.data.folder.manifest import SliceRecord
from anomask.errors import ConfigError, SplitError


def split_validation(records: Sequence[SliceRecord], share: float) -> tuple[list[SliceRecord], list[SliceRecord], str]:
    """Split training normals into a training and a validation part.

    Whole patients, the set of them whose size comes closest to `share` when patients are added from the smallest on.
    Where patients are unknown, or there is one only, the last contiguous block of each source (of each patient):
    neighbouring slices are nearly equal, so a random draw would put copies of training slices into validation.
    Where some patients are known, those stay whole (a single one in training) and the other slices give blocks.

    Args:
        records: training normals in natural order.
        share: wanted share of validation slices, in (0, 1).

    Returns:
        training records, validation records, and 'patient', or 'block' where blocks were cut.

    Raises:
        ConfigError: a share outside (0, 1).
        SplitError: too few slices to give both parts one.
    """
    if not 0 < share < 1:
        raise ConfigError(f"data.validation_share is {share}; a number between 0 and 1 is wanted.")
    known = [record for record in records if record.patient]
    unknown = [record for record in records if not record.patient]
    patients = {record.patient for record in known}
    if not unknown and len(patients) == 1:
        known, unknown = [], known
    chosen = _validation_patients(known, share) if len(patients) > 1 else set()
    validation = [record for record in known if record.patient in chosen]
    training = [record for record in known if record.patient not in chosen]
    grouped = sorted(unknown, key=lambda record: (record.patient, record.source))  # stable: natural order stays
    for _, group in groupby(grouped, key=lambda record: (record.patient, record.source)):
        block = list(group)
        cut = len(block) - round(share * len(block))
        training += block[:cut]
        validation += block[cut:]
    if not training or not validation:
        raise SplitError(
            f"{len(records)} training normals cannot be split with data.validation_share {share}: one part "
            "would be empty. Add slices or change the share."
        )
    return training, validation, "block" if unknown else "patient"


def _validation_patients(records: Sequence[SliceRecord], share: float) -> set[str]:
    sizes: dict[str, int] = {}
    for record in records:
        sizes[record.patient] = sizes.get(record.patient, 0) + 1
    chosen: set[str] = set()
    held = 0
    for patient in sorted(sizes, key=lambda name: (sizes[name], name))[:-1]:  # at least one is left for training
        nearer = abs(held + sizes[patient] - share * len(records)) < abs(held - share * len(records))
        if not chosen or nearer:
            chosen.add(patient)
            held += sizes[patient]
    return chosen
