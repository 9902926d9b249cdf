"""What a data set was: one hash of its content, and a few numbers to recognise it by."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anomask.data.checks.inspection import SliceFacts
from anomask.data.folder.findings import ERROR, WARNING, Finding
from anomask.data.folder.hashing import file_hash, file_hashes
from anomask.data.folder.records import SliceRecord

PREPARATION = "preparation.json"  # window, bits and so on, written by anomask prepare
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def content_hash(records: Sequence[SliceRecord]) -> str:
    """Return one SHA-256 over names, patients and contents of all slices and masks.

    Raises:
        DataError: a file that cannot be read.
    """
    file_hashes(path for record in records for path in files_of_slice(record) if path is not None)  # in parallel
    digest = hashlib.sha256()
    for record in records:
        digest.update(f"{record.patient}\n".encode())  # patients decide the validation split
        for path in files_of_slice(record):
            digest.update(f"{record.name} {'' if path is None else file_hash(path)}\n".encode())
    return digest.hexdigest()


def files_of_slice(record: SliceRecord) -> tuple[Path | None, Path | None, Path | None]:
    """Return the files of a slice, its lesion mask and its lung mask."""
    return record.path, record.mask, record.lung_mask


def describe(
    records: Sequence[SliceRecord],
    findings: Sequence[Finding],
    preparation: dict[str, Any] | None,
    sha256: str | None,
) -> dict[str, Any]:
    """Describe a data set in plain values, as far as its names tell.

    Args:
        records: its slices.
        findings: all of them.
        preparation: how the slices were made, see `read_preparation`.
        sha256: `content_hash`, or None where files cannot be read.
    """
    counts = {
        severity: dict(Counter(one.kind for one in findings if one.severity == severity))
        for severity in (ERROR, WARNING)
    }
    return {"sha256": sha256, "parts": _parts(records), "preparation": preparation, "findings": counts}


def describe_contents(records: Sequence[SliceRecord], facts: Sequence[SliceFacts]) -> dict[str, Any]:
    """Describe what the files of a data set hold: sizes and grey values of each part."""
    sizes = Counter(f"{own.width}x{own.height}" for own in facts)
    return {"sizes": dict(sizes.most_common()), "grey": _grey(records, facts)}


def read_preparation(folder: Path) -> dict[str, Any] | None:
    """Read how the slices were prepared, or None where nobody wrote it down.

    Raises:
        DataError: the file is no JSON.
    """
    file = folder / PREPARATION
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, ValueError) as error:
        message = f"{PREPARATION} cannot be read ({error})."
        raise Finding(
            "preparation", (PREPARATION,), message, "Prepare the data again, or remove it."
        ).error() from error


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


def _parts(records: Sequence[SliceRecord]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str], list[SliceRecord]] = {}
    for record in records:
        groups.setdefault((record.split, record.label, record.disease), []).append(record)
    return [
        {
            "split": split,
            "label": label,
            "disease": disease,
            "slices": len(own),
            "patients": len({record.patient for record in own} - {""}),
            "masks": sum(record.mask is not None for record in own),
            "lung_masks": sum(record.lung_mask is not None for record in own),
        }
        for (split, label, disease), own in sorted(groups.items(), key=lambda item: (item[0][0] != "train", item[0]))
    ]


def _grey(records: Sequence[SliceRecord], facts: Sequence[SliceFacts]) -> dict[str, Any]:
    totals: dict[str, np.ndarray] = {}
    for record, own in zip(records, facts, strict=True):
        part = f"{record.split}/{record.label}"
        totals[part] = totals.get(part, 0.0) + own.histogram
    return {part: _summary(total / total.sum()) for part, total in sorted(totals.items())}


def _summary(share: np.ndarray) -> dict[str, Any]:
    """Summarise a histogram [256] that sums to 1."""
    below = share.cumsum()
    return {
        "mean": round(float(share @ np.arange(256)), 2),
        "quantiles": {str(q): int(np.searchsorted(below, q)) for q in QUANTILES},
        "black": round(float(share[0]), 4),
        "white": round(float(share[255]), 4),
    }
