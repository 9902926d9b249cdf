"""Which DICOM files are one volume: a series' UID is asked first and believed only as far as the geometry agrees."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np

from anomask.data.volumes.account import Account
from anomask.data.volumes.dicom_file import Header, NoData, read_header
from anomask.data.volumes.faults import reading
from anomask.data.volumes.geometry import VolumeSource
from anomask.data.volumes.grid import BESIDE_MM, grid_index, off_the_line
from anomask.errors import DataError

log = logging.getLogger(__name__)

Part = list[Header]
FEWEST = 3  # slices from which a row of them is told from chance
ODD_SHARE = 3  # a rest of at most two images is odd beside a volume of so many times as many


def find_series(files: Iterable[Path], account: Account) -> list[VolumeSource]:
    """Group DICOM files into volumes: by patient, study, series, frame of reference, image size and orientation.

    Slices that have a series each become one volume where they lie in a row. A rest of one or two images beside a
    volume of the same series, such as a scout, is left out.

    Args:
        files: DICOM files.
        account: told of each file that belongs to no volume, and why.
    """
    groups: dict[Hashable, Part] = defaultdict(list)
    for path in files:
        try:
            with reading(path, "DICOM"):
                header = _header(path, account)
        except DataError as fault:
            account.fault(fault, [path])
            continue
        if header is not None:
            place = header.series or (path.parent, header.series_number)
            groups[header.patient, place, header.size].append(header)
    parts = list(groups.values())
    for tell in (lambda header: header.study, lambda header: header.frame_of_reference):
        parts = [own for part in parts for own in _told_apart(part, tell)]
    parts = [alike for part in parts for alike in _alike(part)]
    parts = [apart for part in _joined(parts) for apart in _apart(part)]
    return [_source(part) for part in _without_odd(parts, account)]


def _header(path: Path, account: Account) -> Header | None:
    try:
        return read_header(path)
    except NoData as reason:
        account.leave([path], str(reason))
        return None


def _owner(header: Header) -> tuple[str, str]:
    return header.patient, header.study


def _told_apart(part: Part, tell: Callable[[Header], str]) -> list[Part]:
    """Split by an id, unless each slice has its own: it then says nothing."""
    groups: dict[str, Part] = defaultdict(list)
    for header in part:
        groups[tell(header)].append(header)
    return [part] if all(map(_is_single, groups.values())) else list(groups.values())


def _alike(group: Part) -> list[Part]:
    """Split files by orientation and pixel spacing; those that do not say go with the most."""
    parts: list[Part] = []
    silent = [header for header in group if header.orientation is None or header.spacing is None]
    for header in (header for header in group if header not in silent):
        own = next((part for part in parts if _same_plane(part[0], header)), None)
        if own is None:
            parts.append([header])
        else:
            own.append(header)
    if not parts:
        return [silent]
    max(parts, key=len).extend(silent)
    return parts


def _same_plane(first: Header, other: Header) -> bool:
    return np.allclose(first.orientation, other.orientation, atol=1e-3) and np.allclose(
        first.spacing, other.spacing, rtol=1e-3
    )


def _joined(parts: list[Part]) -> list[Part]:
    """Join slices that have a series, a study or a frame of reference each, where they lie in a row."""
    keys: list[Callable[[Header], Hashable]] = [
        lambda header: (_owner(header), header.path.parent, header.series_number),
        lambda header: (_owner(header), header.path.parent),
        _owner,
        lambda header: (header.patient, header.path.parent),
    ]
    single = [part for part in parts if _is_single(part)]
    whole = [part for part in parts if not _is_single(part)]
    for key in keys:
        together = _by(lambda part, key=key: (key(part[0]), _plane(part[0])), single)
        single = []
        for group in together:
            if _in_a_row([part[0] for part in group]):
                whole.append([header for part in group for header in part])
            else:
                single += group
    for group in _by(lambda part: (part[0].patient, part[0].path.parent, _plane(part[0])), single):
        if len(group) >= FEWEST:
            log.warning(
                "%d slices in %s have a series each and do not lie in a row: each is read as a volume of one slice.",
                len(group),
                group[0][0].path.parent.name,
            )
    return whole + single


def _by(key: Callable[[Part], Hashable], parts: Iterable[Part]) -> list[list[Part]]:
    groups: dict[Hashable, list[Part]] = defaultdict(list)
    for part in parts:
        groups[key(part)].append(part)
    return list(groups.values())


def _is_single(part: Part) -> bool:
    """Say whether a part is one slice, perhaps copied."""
    places = {header.position for header in part}
    return part[0].frames == 1 and len(places) == 1 and (len(part) == 1 or None not in places)


def _plane(header: Header) -> tuple[Hashable, ...]:
    # Adding 0 turns -0.0 into 0.0.
    rounded = (
        tuple(round(value, 2) + 0.0 for value in values or ()) for values in (header.orientation, header.spacing)
    )
    return (header.size, *rounded)


def _in_a_row(slices: Sequence[Header]) -> bool:
    """Say whether slices lie behind one another in even steps; some of them may be missing."""
    if len(slices) < FEWEST or any(header.orientation is None or header.position is None for header in slices):
        return False
    positions = np.array([header.position for header in slices])
    normal = np.cross(*np.split(np.array(slices[0].orientation), 2))
    positions = positions[np.argsort(positions @ normal)]
    return grid_index(positions @ normal) is not None and off_the_line(positions, normal).max() <= BESIDE_MM


def _apart(part: Part) -> list[Part]:
    """Split two acquisitions that share everything else, told by their number or by their folders."""
    for tell in (lambda header: header.acquisition, lambda header: header.path.parent):
        groups: dict[Hashable, Part] = defaultdict(list)
        for header in part:
            groups[tell(header)].append(header)
        if len(groups) > 1 and _is_doubled(part) and not any(map(_is_doubled, groups.values())):
            return list(groups.values())
    return [part]


def _is_doubled(part: Part) -> bool:
    """Say whether two images are at one position, or have one number in the series, and are no copies."""
    images = {(header.instance, header.position): header for header in part}.values()
    positions = [header.position for header in images if header.position is not None]
    numbers = [header.number for header in images if header.number]
    return len(set(positions)) < len(positions) or len(set(numbers)) < len(numbers)


def _without_odd(parts: list[Part], account: Account) -> list[Part]:
    kept: list[Part] = []
    for group in _by(lambda part: (_owner(part[0]), part[0].series or part[0].path.parent), parts):
        largest = max(group, key=_slices)
        for part in group:
            if part is not largest and len(part) <= 2 and ODD_SHARE * _slices(part) <= _slices(largest):
                account.leave(
                    (header.path for header in part),
                    "does not belong to its series: of another size, orientation or frame of reference than the rest",
                )
            else:
                kept.append(part)
    return kept


def _slices(part: Part) -> int:
    return sum(header.frames for header in part)


def _source(part: Part) -> VolumeSource:
    first = min(part, key=lambda header: (header.series, header.instance, header.path))
    files = tuple(sorted(header.path for header in part))
    # What makes the volume this one, wherever its files lie; a series' UID alone does not.
    told = repr((*_owner(first), first.frame_of_reference, first.acquisition, _plane(first)))
    identity = f"{first.series}-{hashlib.sha256(told.encode()).hexdigest()[:8]}" if first.series else ""
    return VolumeSource(
        files[0].parent,
        "dicom",
        files,
        first.series,
        identity,
        first.patient,
        first.study,
        first.series_number,
    )
