"""What is to be prepared: one unit is a volume, or some images of a folder, prepared and remembered as a whole."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from zlib import crc32

from anomask.data.folder.manifest import natural_key
from anomask.data.volumes.geometry import VolumeSource
from anomask.errors import ConfigError
from anomask.preparation.groups import Group
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

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that its slices lie in."""
        return self.source.files if self.source else (self.image,)


@dataclass(frozen=True)
class Unit:
    """Items that are prepared and remembered together."""

    identity: str  # of the same unit in a later call; keyed, so that it gives nothing away
    fingerprint: str  # changes with the files and settings
    place: str  # keyed hash of where it was read
    items: tuple[Item, ...]


def volume_units(items: Sequence[Item], dataset: str, names: Pseudonyms, root: Path) -> list[Unit]:
    """Return a unit for each volume."""
    units = []
    told = Counter(item.source.identity for item in items)
    for item in items:
        # A series has an id of its own, wherever it lies, as long as no other has the same; a file, and a series
        # without an id, is known by its place in its data set.
        known = told[item.source.identity] == 1 and item.source.identity
        units.append(
            _unit(f"volume:{known or f'{dataset}/{item.path}'}", (item,), names, "" if known else str(root.resolve()))
        )
    return units


def image_units(items: Sequence[Item], dataset: str, names: Pseudonyms, root: Path) -> list[Unit]:
    """Return units of images, some of a folder each.

    Raises:
        ConfigError: images without patients are to be split by patient.
    """
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
