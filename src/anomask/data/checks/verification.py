"""All checks of a data folder together, and its fingerprint."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anomask import errors
from anomask.data.checks.copies import copies
from anomask.data.checks.fingerprint import (
    content_hash,
    describe,
    describe_contents,
    files_of_slice,
    read_preparation,
)
from anomask.data.checks.greys import inverted, window_shifts
from anomask.data.checks.inspection import inspect
from anomask.data.checks.near_copies import near_copies
from anomask.data.folder.findings import ERROR, Finding, finding_of
from anomask.data.folder.hashing import file_hash
from anomask.data.folder.manifest import list_folder
from anomask.data.folder.masks import partly_masked
from anomask.data.folder.names import parts_of_the_set
from anomask.data.folder.reading import size_findings
from anomask.data.folder.records import SliceRecord, is_synthetic
from anomask.errors import DataError
from anomask.files import write_json

log = logging.getLogger(__name__)

VERSION = 3  # raise it when a check changes: what was found before is then looked for again


@dataclass(frozen=True)
class Verification:
    """What was found out about a data folder."""

    folder: Path
    findings: list[Finding]
    fingerprint: dict[str, Any]

    @property
    def errors(self) -> list[Finding]:
        """The findings that would make a result wrong."""
        return [finding for finding in self.findings if finding.severity == ERROR]


def verify_folder(
    folder: Path, on_mixed_size: str, memory: Path | None, progress: bool, to_train: bool = True
) -> Verification:
    """Check a data folder from end to end; whatever is wrong with one file, the others are checked.

    Folders, names and patients are looked at each time. What follows from the contents of the files is remembered
    under their hash, so an unchanged set is not decoded again.

    Args:
        folder: in the layout `anomask.data.folder.records.LAYOUT`.
        on_mixed_size: 'error', or 'pad' where slices of several sizes are wanted.
        memory: where fingerprints are kept, as ``<hash>/fingerprint.json``, or None. Not in the data folder: that may
            be read-only, and is the user's.
        progress: whether to show a progress bar.
        to_train: whether it must have training normals.

    Raises:
        DataError: there is no such folder.
    """
    records, findings = list_folder(folder, to_train)
    findings += [*parts_of_the_set(records), *partly_masked(records)]
    preparation = None
    try:
        preparation = read_preparation(folder)
    except DataError as error:
        findings.append(finding_of(error))
    try:
        sha256 = content_hash(records)
    except DataError:  # a file that cannot be read; looking at each says which
        sha256 = None
    kept = None if sha256 is None or memory is None else memory / _key(folder, records, on_mixed_size)
    contents, more = _recall(kept) or _look(folder, records, on_mixed_size, progress)
    findings = sorted([*findings, *more], key=lambda finding: finding.severity != ERROR)
    fingerprint = describe(records, findings, preparation, sha256) | contents
    if kept is not None and kept.name == _key(folder, records, on_mixed_size):  # nothing changed in the meantime
        _remember(kept, contents, more, fingerprint)
    return Verification(folder, findings, fingerprint)


def _recall(kept: Path | None) -> tuple[dict[str, Any], list[Finding]] | None:
    file = None if kept is None else kept / "contents.json"
    if file is None or not file.is_file():
        return None
    log.info("slices unchanged since they were last checked")
    known = json.loads(file.read_text(encoding="utf-8"))
    return known["contents"], [_from_plain(one) for one in known["findings"]]


def _remember(kept: Path, contents: dict[str, Any], findings: list[Finding], fingerprint: dict[str, Any]) -> None:
    try:
        write_json(kept / "contents.json", {"contents": contents, "findings": [_to_plain(one) for one in findings]})
        write_json(kept / "fingerprint.json", fingerprint)
    except OSError as error:  # the next check takes longer, no more
        log.warning("the fingerprint cannot be kept in %s (%s)", kept, error)


def _look(
    folder: Path, records: Sequence[SliceRecord], on_mixed_size: str, progress: bool
) -> tuple[dict[str, Any], list[Finding]]:
    facts, findings = inspect(folder, records, progress)
    seen = [(record, own) for record, own in zip(records, facts, strict=True) if own is not None]
    seen.sort(key=lambda pair: pair[0].split != "train")  # training slices are what others are compared with
    records, facts = [record for record, _ in seen], [own for _, own in seen]
    if not seen:
        return describe_contents(records, facts), findings
    histograms, thumbnails = (np.stack([getattr(own, name) for own in facts]) for name in ("histogram", "thumbnail"))
    hashes = [file_hash(record.path) for record in records]
    findings += size_findings(records, [(own.width, own.height) for own in facts], on_mixed_size)
    findings += copies(records, hashes)
    if not is_synthetic(folder):  # drawn patients are alike by chance, and never the same
        findings += near_copies(records, thumbnails, hashes)
    findings += inverted(records, thumbnails) + window_shifts(records, histograms)
    return describe_contents(records, facts), findings


def _key(folder: Path, records: Sequence[SliceRecord], on_mixed_size: str) -> str:
    """Hash everything that `_look` depends on: the names and contents of slices and masks, and the checks."""
    files = [
        [record.name, record.patient]
        + [path and [path.relative_to(folder).as_posix(), file_hash(path)] for path in files_of_slice(record)]
        for record in records
    ]
    return hashlib.sha256(json.dumps([VERSION, on_mixed_size, files]).encode()).hexdigest()


def _to_plain(finding: Finding) -> dict[str, Any]:
    return asdict(finding) | {"raises": finding.raises.__name__}


def _from_plain(plain: dict[str, Any]) -> Finding:
    known = {"files": tuple(plain["files"]), "raises": getattr(errors, plain["raises"])}
    return Finding(**plain | known)
