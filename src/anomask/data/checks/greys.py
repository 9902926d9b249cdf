"""Do all slices show dark lung on bright tissue, through the same window?"""

from collections.abc import Sequence

import numpy as np

from anomask.data.folder.findings import ERROR, WARNING, Finding
from anomask.data.folder.records import SliceRecord

# A slice is inverted if its negative fits the set better than it does itself, by this much in correlation. Of 2313
# real slices none comes above 0.14; with a twentieth of them inverted at a time, 2259 are found and none falsely. In a
# small set an odd slice may stand alone, so it takes a negative that is much like a typical slice to stop a training:
# 1855 of the 2313 are errors, and the rest of those found are warnings.
INVERTED = 0.25
CERTAIN = 0.5
PROTOTYPES = 64
# Mean shift of the grey distribution, in grey levels of 255. Groups of one window are up to 34 apart in three real sets
# (pneumonia against normals), normals of two hospitals 18; of lung windows -600/1500 HU is 48 from -400/1800, 72 from
# -300/1400 or -200/2000 and 115 from the mediastinal 40/400.
WINDOW_SHIFT = 40.0
SMALLEST_GROUP = 5  # a few slices may all be of the apex, and differ for that


def inverted(records: Sequence[SliceRecord], thumbnails: np.ndarray) -> list[Finding]:
    """Report slices whose negative looks more like the training normals than they do.

    Args:
        records: slices.
        thumbnails: [N, 32, 32] grey values of each.
    """
    training = np.flatnonzero([(record.split, record.label) == ("train", "normal") for record in records])
    if len(training) < SMALLEST_GROUP:
        return []
    unit = _unit(thumbnails.reshape(len(records), -1).astype(np.float32))
    usual = unit[training] @ _unit(np.median(thumbnails[training], axis=0).reshape(1, -1))[0]
    # The half that is most alike to the typical one holds none that is inverted, as long as fewer than half are.
    typical = training[usual >= np.median(usual)]
    chosen = typical[np.unique(np.linspace(0, len(typical) - 1, PROTOTYPES).astype(int))]
    likeness = unit @ unit[chosen].T
    likeness[chosen, np.arange(len(chosen))] = np.nan  # itself
    excess = np.nanmax(-likeness, axis=1) - np.nanmax(likeness, axis=1)
    return [_inverted(records[row], likeness[row]) for row in np.flatnonzero(excess > INVERTED)]


def _inverted(record: SliceRecord, likeness: np.ndarray) -> Finding:
    negative, itself = np.nanmax(-likeness), np.nanmax(likeness)
    certain = negative > CERTAIN
    message = (
        f"{record.name} {'has' if certain else 'may have'} black and white exchanged: its negative correlates with "
        f"{negative:.2f} with a typical slice, itself with {itself:.2f}."
    )
    remedy = "Invert it (255 - value) if so; check for DICOM's MONOCHROME1 where it was exported."
    return Finding("inverted", (record.name,), message, remedy, ERROR if certain else WARNING)


def window_shifts(records: Sequence[SliceRecord], histograms: np.ndarray) -> list[Finding]:
    """Report test groups whose grey values are distributed so differently that their window must be another one.

    The distance is the earth mover's (Wasserstein-1) between the mean histograms of training normals and of a group.

    Args:
        records: slices.
        histograms: [N, 256] pixels of each grey value.
    """
    below = np.cumsum(histograms / histograms.sum(axis=1, keepdims=True), axis=1)
    groups: dict[tuple[str, str, str], list[int]] = {}
    for row, record in enumerate(records):
        groups.setdefault((record.split, record.label, record.disease), []).append(row)
    normals = groups.pop(("train", "normal", ""), [])
    found = []
    for (split, label, disease), rows in sorted(groups.items()):
        if min(len(normals), len(rows)) < SMALLEST_GROUP:
            continue
        shift = float(np.abs(below[rows].mean(axis=0) - below[normals].mean(axis=0)).sum())
        if shift > WINDOW_SHIFT:
            place = "/".join(filter(None, (split, label, "" if disease == "abnormal" else disease)))
            message = (
                f"the grey values of {place} are {shift:.0f} levels from those of train/normal ({WINDOW_SHIFT:.0f} "
            )
            message += "are usual at most): it seems to have been exported with another window."
            remedy = "Export all slices with one window (centre and width in HU)."
            found.append(Finding("window", (place,), message, remedy, WARNING))
    return found


def _unit(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
