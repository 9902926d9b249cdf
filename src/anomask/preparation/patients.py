"""Is every patient of the headers one person? An anonymiser may have given one PatientID to all of them."""

import logging
import re
from collections import defaultdict
from collections.abc import Iterable

from anomask.data.volumes.geometry import VolumeSource

log = logging.getLogger(__name__)

# ANON0001 and the like are left alone: numbered, they tell patients apart.
PLACEHOLDER = re.compile(
    r"(anon(ym(ous|i[sz]ed|e|us)?)?|de ?identified|unknown|none|null|nan?|no ?(name|id)|patients?|patient ?id|subject"
    r"|test|removed|redacted|hidden|deleted|default|id|x+|0+|9+)"
)


def is_placeholder(patient: str) -> bool:
    """Say whether a PatientID reads as if it stood for anyone, such as ANONYMOUS or 0000."""
    words = " ".join(re.findall(r"[^\W_]+", patient.casefold()))
    return bool(PLACEHOLDER.fullmatch(words))


def warn_of_patients(sources: Iterable[VolumeSource]) -> None:
    """Warn of PatientIDs that stand for nobody or for several studies: to the split each of them is one patient.

    Args:
        sources: DICOM volumes whose patient only the header names.
    """
    studies: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        if source.patient:
            studies[source.patient].add(source.study)
    for patient in filter(is_placeholder, studies):
        log.warning(
            "%d studies share the PatientID %r, which reads like a placeholder: all of them count as one patient and "
            "go to one side of the split. If they are of several people, say who is who with patient=<regular "
            "expression on the path>, or a table with a column patient.",
            len(studies[patient]),
            patient,
        )
    several = [own for patient, own in studies.items() if len(own) > 1 and not is_placeholder(patient)]
    if several:
        log.warning(
            "PatientIDs with several studies: %d (%d studies). Each ID counts as one patient, which is right for "
            "follow-ups; if they are of several people, give patient=<regular expression on the path>.",
            len(several),
            sum(map(len, several)),
        )
