"""Finding and reading CT volumes of any kind: DICOM series, NIfTI and MetaImage files."""

from collections.abc import Iterable
from pathlib import Path

from anomask.data.volumes.account import Account
from anomask.data.volumes.dicom import read_dicom
from anomask.data.volumes.dicom_file import is_dicom
from anomask.data.volumes.faults import OnFault, log_fault, reading
from anomask.data.volumes.geometry import Volume, VolumeSource, to_source_geometry
from anomask.data.volumes.images import is_image
from anomask.data.volumes.metaimage import VOXELS, is_metaimage, read_metaimage
from anomask.data.volumes.nifti import is_nifti, read_nifti
from anomask.data.volumes.series import find_series
from anomask.data.volumes.square import square_spacing
from anomask.data.volumes.unread import what_is_unread
from anomask.data.volumes.values import check_values
from anomask.data.volumes.walk import files_below
from anomask.errors import DataError

__all__ = ["Volume", "VolumeSource", "find_volumes", "group_volumes", "read_volume", "to_source_geometry"]

KINDS = {"dicom": "DICOM", "nifti": "NIfTI", "metaimage": "MetaImage"}


def find_volumes(folder_or_file: Path, on_fault: OnFault = log_fault) -> list[VolumeSource]:
    """Find DICOM series, wherever their files lie below a folder, NIfTI and MetaImage files; others are left out.

    Args:
        folder_or_file: where to look; the order of what is found follows the names of folders and files.
        on_fault: called with a DataError for each file that cannot be used; logs it by default.

    Raises:
        DataError: there is nothing at that place.
    """
    return group_volumes(files_below(folder_or_file, on_fault), Account(folder_or_file, on_fault))


def group_volumes(files: Iterable[Path], account: Account) -> list[VolumeSource]:
    """Group files into volumes as `find_volumes` does, from a list of them.

    Args:
        files: of any kind.
        account: told of each file that is in no volume and no image, and why; of images it is told nothing.
    """
    found: list[VolumeSource] = []
    dicom = []
    files = list(files)
    headers = {path.with_suffix("") for path in files if path.suffix.lower() == ".mhd"}
    for path in files:
        if is_nifti(path):
            found.append(VolumeSource(path, "nifti", (path,)))
        elif is_metaimage(path):
            found.append(VolumeSource(path, "metaimage", (path,)))
        elif path.suffix.lower() in VOXELS and path.with_suffix("") in headers:
            account.use([path], "voxels of a MetaImage")
        elif not is_image(path):
            try:
                if is_dicom(path):
                    dicom.append(path)
                else:
                    _account_for(path, account)
            except OSError as error:
                fault = f"{path} cannot be opened ({error.strerror}). Change its permissions or remove it."
                account.fault(DataError(fault), [path])
    found += find_series(dicom, account)
    return sorted(found, key=lambda source: (source.files[0], source.series, source.identity))


def _account_for(path: Path, account: Account) -> None:
    unread = what_is_unread(path)
    if unread:
        account.miss([path], f"{unread} is not read here; unpack it or convert it to NIfTI or PNG")
    else:
        account.leave([path], "no image")


def read_volume(source: VolumeSource, allow_gaps: bool = False, values: str = "hu") -> Volume:
    """Read a volume in HU; see `Volume`.

    Args:
        source: of `find_volumes`.
        allow_gaps: whether the slices of a DICOM series may lie unevenly; see `read_dicom`.
        values: 'hu', or 'grey' where the numbers are windowed already, or 'labels' of a mask: `Volume.hu` then holds
            them as they are.

    Raises:
        DataError: the volume cannot be used; the message says why.
        NotAxialError: it is in order but no axial CT, such as a sagittal reconstruction.
    """
    with reading(source.path, KINDS[source.kind]):
        if source.kind == "dicom":
            volume = read_dicom(source, allow_gaps, values)
        else:
            volume = read_nifti(source) if source.kind == "nifti" else read_metaimage(source)
        check_values(volume, values)
        square_spacing(volume.spacing_mm[1:])
        return volume
