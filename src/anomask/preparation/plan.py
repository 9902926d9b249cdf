"""What of an input is prepared, and as what: volumes or images, their groups, tables and masks."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from anomask.data.folder.manifest import natural_key
from anomask.data.volumes.account import Account
from anomask.data.volumes.formats import group_volumes
from anomask.data.volumes.geometry import VolumeSource
from anomask.data.volumes.images import is_image
from anomask.data.volumes.nifti import stem_of
from anomask.errors import DataError
from anomask.preparation.companions import Companions
from anomask.preparation.groups import SKIPPED, Group
from anomask.preparation.patients import warn_of_patients
from anomask.preparation.pseudonyms import Pseudonyms
from anomask.preparation.tables import Table
from anomask.preparation.units import Item, Unit, image_units, volume_units

BESIDE_VOLUMES = (
    "images beside volumes; pattern='*.png' (or jpg, tif) takes the images, pattern='*.nii.gz' or that of the series "
    "leaves them out"
)
IN_NO_GROUP = "in no group (pattern)"


def plan(place: Path, groups: Sequence[Group], dataset: str, names: Pseudonyms, account: Account) -> list[Unit]:
    """Find everything to prepare in a folder or file. Images count only where no volume is in a group.

    Args:
        place: the input.
        groups: the first that matches a path has it.
        dataset: name of the data set; tells equally named files of two inputs apart.
        names: for pseudonyms.
        account: told of each file that is in no unit, and of each fault; the rest goes on.

    Raises:
        DataError: there is nothing to prepare, or a table cannot be read.
        ConfigError: images without patients are to be split by patient.
    """
    root = place if place.is_dir() else place.parent
    files = {account.inside(path): path for path in account.files()}
    sources = group_volumes(files.values(), account)
    found = [(account.inside(_file_of(source)), source) for source in sources]
    images = [(path, None) for path in sorted(files, key=natural_key) if is_image(files[path])]
    if not any(group.matches(path) for path, _ in found for group in groups):
        found, images = [*found, *images], []
    account.miss((files[path] for path, _ in images), BESIDE_VOLUMES)
    _leave_unmatched(files, groups, account)
    items, faults = _choose(found, groups, files, account)
    # A mask that lies beside its volume is found as a volume, too.
    masks = {path for item in items for path in (item.mask, item.lung_mask) if path}
    items = [item for item in items if item.file not in masks]
    faults = {path: fault for path, fault in faults.items() if files[path] not in masks}
    account.use(masks, "mask")
    account.use({item.nodules for item in items if item.nodules}, "list of nodules")
    by_path = {path: source.files if source else [files[path]] for path, source in found}
    for path, fault in faults.items():
        account.fault(fault, by_path[path])
    if not items and not faults:
        raise DataError(
            f"nothing to prepare in {place}: {len(files)} files, {len(found)} volumes or images, none of them in a "
            f"group ({'; '.join(group.told() for group in groups)}). Wanted: DICOM, NIfTI, MetaImage or images."
        )
    warn_of_patients(item.source for item in items if item.source and not item.patient)
    units = volume_units([item for item in items if item.source], dataset, names, root)
    return units + image_units([item for item in items if item.image], dataset, names, root)


def _file_of(source: VolumeSource) -> Path:
    return source.files[0] if source.kind == "dicom" else source.path


def _leave_unmatched(files: dict[str, Path], groups: Sequence[Group], account: Account) -> None:
    """Say of what no pattern matches that a setting leaves it out; so it is not missed."""
    outside = [file for path, file in files.items() if not any(group.matches(path) for group in groups)]
    account.leave((file for file in outside if account.is_missed(file)), IN_NO_GROUP)


def _choose(
    found: Sequence[tuple[str, VolumeSource | None]], groups: Sequence[Group], files: dict[str, Path], account: Account
) -> tuple[list[Item], dict[str, DataError]]:
    """Give each volume or image to the first group that matches it; return the items, and a fault by path."""
    companions = Companions(files)
    tables = [Table.of(group, companions, account) for group in groups]
    items: list[Item] = []
    faults: dict[str, DataError] = {}
    for path, source in found:
        own_files = source.files if source else [files[path]]
        rows = ((group, table.row_of(path)) for group, table in zip(groups, tables, strict=True) if group.matches(path))
        group, row = next(((group, row) for group, row in rows if row is not None), (None, {}))
        if group is None:
            matched = any(group.matches(path) for group in groups)
            account.leave(own_files, "not in the table" if matched else IN_NO_GROUP)
            continue
        if row.get("disease") == SKIPPED:
            account.leave(own_files, f"of a class that is left out ({SKIPPED})")
            continue
        own = replace(group, **{key: row[key] for key in ("split", "disease") if row.get(key)})
        try:
            items.append(_item(path, source, own, row, companions, files))
        except DataError as fault:
            faults[path] = fault
    for table in tables:
        table.report_unmatched(files, account)
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
