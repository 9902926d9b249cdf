"""What is to be prepared: one unit is a volume, or some images of a folder, prepared and remembered as a whole."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from zlib import crc32

from anomask.data.folder.manifest import natural_key
from anomask.data.volumes.formats import group_volumes
from anomask.data.volumes.geometry import VolumeSource
from anomask.data.volumes.images import is_image
from anomask.data.volumes.nifti import stem_of
from anomask.data.volumes.walk import OnFault, files_below
from anomask.errors import ConfigError, DataError
from anomask.preparation.companions import Companions
from anomask.preparation.groups import SKIPPED, Group, read_table
from anomask.preparation.pseudonyms import Pseudonyms

# Images of a folder are spread over so many units by their names: a unit is what is done again after a kill.
BUCKETS = 64


@dataclass(frozen=True)
class Item:
    """A volume or an image, and what the input says about it."""

    path: str  # inside the input
    group: Group  # with what its table says about this item
    patient: str  # as the group knows it, '' where it does not
    source: VolumeSource | None = None  # of a volume
    image: Path | None = None  # of an image
    index: int = 0  # of an image, in its folder
    mask: Path | None = None
    lung_mask: Path | None = None
    nodules: Path | None = None

    @property
    def file(self) -> Path:
        """The image, or the file of the volume; a series' folder."""
        return self.image or self.source.path


@dataclass(frozen=True)
class Unit:
    """Items that are prepared and remembered together."""

    identity: str  # of the same unit in a later call; keyed, so that it gives nothing away
    fingerprint: str  # changes with the files and settings
    place: str  # keyed hash of where it was read
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Plan:
    """All units of an input, and the files that no group wants."""

    units: list[Unit]
    left_out: int


def plan(place: Path, groups: Sequence[Group], dataset: str, names: Pseudonyms, on_fault: OnFault) -> Plan:
    """Find everything to prepare in a folder or file. Images count only where there are no volumes.

    Args:
        place: the input.
        groups: the first that matches a path has it.
        dataset: name of the data set; tells equally named files of two inputs apart.
        names: for pseudonyms.
        on_fault: called with each fault of one file; the rest goes on.

    Raises:
        DataError: there is nothing to prepare, or a table cannot be read.
        ConfigError: images without patients are to be split by patient.
    """
    root = place if place.is_dir() else place.parent
    files = {path.relative_to(root).as_posix(): path for path in files_below(place, on_fault)}
    sources = group_volumes(files.values(), on_fault)
    found = [(_path_of(source, root), source) for source in sources]
    if not found:
        found = [(path, None) for path in sorted(files, key=natural_key) if is_image(files[path])]
    items, faults = _choose(found, groups, files)
    # A mask that lies beside its volume is found as a volume, too.
    masks = {path for item in items for path in (item.mask, item.lung_mask) if path}
    items = [item for item in items if item.file not in masks]
    faults = {path: fault for path, fault in faults.items() if files[path] not in masks}
    for fault in faults.values():
        on_fault(fault)
    if not items and not faults:
        raise DataError(
            f"nothing to prepare in {place}: {len(files)} files, {len(found)} volumes or images, none of them in a "
            f"group ({'; '.join(str(group.pattern) for group in groups)}). Wanted: DICOM, NIfTI, MetaImage or images."
        )
    units = _volume_units([item for item in items if item.source], dataset, names, root)
    units += _image_units([item for item in items if item.image], dataset, names, root)
    return Plan(units, len(found) - len(items) - len(faults) - len(masks & {files[path] for path, _ in found}))


def _path_of(source: VolumeSource, root: Path) -> str:
    return (source.files[0] if source.kind == "dicom" else source.path).relative_to(root).as_posix()


def _choose(
    found: Sequence[tuple[str, VolumeSource | None]], groups: Sequence[Group], files: dict[str, Path]
) -> tuple[list[Item], dict[str, DataError]]:
    """Give each volume or image to the first group that matches it; return the items, and a fault by path."""
    companions = Companions(files)
    tables = [read_table(group, companions.find(group.table, {})) if group.table else None for group in groups]
    items: list[Item] = []
    faults: dict[str, DataError] = {}
    for path, source in found:
        rows = ((group, _row_of(path, table)) for group, table in zip(groups, tables, strict=True))
        group, row = next(((group, row) for group, row in rows if row is not None and group.matches(path)), (None, {}))
        if group is None or row.get("disease") == SKIPPED:
            continue
        own = replace(group, **{key: row[key] for key in ("split", "disease") if row.get(key)})
        try:
            items.append(_item(path, source, own, row, companions, files))
        except DataError as fault:
            faults[path] = fault
    return items, faults


def _item(
    path: str,
    source: VolumeSource | None,
    group: Group,
    row: dict[str, str],
    companions: Companions,
    files: dict[str, Path],
) -> Item:
    folder = Path(path).parent
    stem = folder.name if source and source.kind == "dicom" else stem_of(Path(path))
    about = {"stem": stem, "folder": folder.as_posix(), "series": source.series if source else ""}
    about |= group.names_in(path) | {key: row[key] for key in ("patient",) if row.get(key)}
    mask, lung_mask = (
        companions.find(pattern, about, group.mask_optional) if pattern else None
        for pattern in (group.mask, group.lung_mask)
    )
    nodules = companions.find(group.nodules, about) if group.nodules else None
    image = None if source else files[path]
    return Item(path, group, about["patient"], source, image, mask=mask, lung_mask=lung_mask, nodules=nodules)


def _row_of(path: str, table: dict[str, dict[str, str]] | None) -> dict[str, str] | None:
    if table is None:
        return {}
    # A table may name a volume's file, its folder, or a file by its name alone.
    parents = [parent.as_posix() for parent in Path(path).parents]
    return next((table[key] for key in (path, *parents, Path(path).name) if key in table), None)


def _volume_units(items: Sequence[Item], dataset: str, names: Pseudonyms, root: Path) -> list[Unit]:
    units = []
    for item in items:
        # A series has an id of its own, wherever it lies; a file is known by its place in its data set.
        known = item.source.kind == "dicom"
        identity = item.source.series if known else f"{dataset}/{item.path}"
        units.append(_unit(f"volume:{identity}", (item,), names, "" if known else str(root.resolve())))
    return units


def _image_units(items: Sequence[Item], dataset: str, names: Pseudonyms, root: Path) -> list[Unit]:
    folders: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        if item.group.split == "by_patient" and not item.patient:
            raise ConfigError(
                f"split=by_patient needs patients, and nothing says whose slice {item.path} is. Give patient=<regular "
                "expression on the path>, or split=train or test."
            )
        folders[Path(item.path).parent.as_posix()].append(item)
    units = []
    for folder, members in folders.items():
        buckets: dict[int, list[Item]] = defaultdict(list)
        for index, item in enumerate(sorted(members, key=lambda item: natural_key(item.path))):
            buckets[crc32(Path(item.path).name.encode()) % BUCKETS].append(replace(item, index=index))
        for bucket, own in sorted(buckets.items()):
            units.append(_unit(f"images:{dataset}/{folder}:{bucket}", tuple(own), names, str(root.resolve())))
    return units


def _unit(identity: str, items: tuple[Item, ...], names: Pseudonyms, place: str) -> Unit:
    facts = []
    for item in items:
        files = [*(item.source.files if item.source else ()), item.image, item.mask, item.lung_mask, item.nodules]
        facts.append(
            [item.path, item.index, item.patient, asdict(item.group), [_stamp(path) for path in files if path]]
        )
    fingerprint = names.digest("fingerprint", json.dumps(facts, sort_keys=True), 32)
    return Unit(names.digest("unit", identity, 32), fingerprint, names.digest("place", place, 32), items)


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:  # reading it will say why
        return []
    return [status.st_size, status.st_mtime_ns]
