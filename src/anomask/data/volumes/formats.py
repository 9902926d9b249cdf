"""Finding and reading CT volumes of any kind: DICOM series, NIfTI and MetaImage files."""

from collections.abc import Iterable
from pathlib import Path

from anomask.data.volumes.dicom import find_series, is_dicom, read_dicom
from anomask.data.volumes.geometry import Volume, VolumeSource, to_source_geometry
from anomask.data.volumes.images import is_image
from anomask.data.volumes.metaimage import is_metaimage, read_metaimage
from anomask.data.volumes.nifti import is_nifti, read_nifti
from anomask.data.volumes.square import square_spacing
from anomask.data.volumes.values import check_values
from anomask.data.volumes.walk import OnFault, files_below, log_fault
from anomask.errors import DataError

__all__ = ["Volume", "VolumeSource", "find_volumes", "group_volumes", "read_volume", "to_source_geometry"]


def find_volumes(folder_or_file: Path, on_fault: OnFault = log_fault) -> list[VolumeSource]:
    """Find DICOM series, wherever their files lie below a folder, NIfTI and MetaImage files; others are left out.

    Args:
        folder_or_file: where to look; the order of what is found follows the names of folders and files.
        on_fault: called with a DataError for each file that cannot be used; logs it by default.

    Raises:
        DataError: there is nothing at that place.
    """
    return group_volumes(files_below(folder_or_file, on_fault), on_fault)


def group_volumes(files: Iterable[Path], on_fault: OnFault = log_fault) -> list[VolumeSource]:
    """Group files into volumes as `find_volumes` does, from a list of them."""
    found: list[VolumeSource] = []
    dicom = []
    for path in files:
        if is_nifti(path):
            found.append(VolumeSource(path, "nifti", (path,)))
        elif is_metaimage(path):
            found.append(VolumeSource(path, "metaimage", (path,)))
        elif not is_image(path):
            try:
                dicom += [path] if is_dicom(path) else []
            except OSError as error:
                on_fault(DataError(f"{path} cannot be opened ({error.strerror}). Change its permissions or remove it."))
    found += find_series(dicom, on_fault)
    return sorted(found, key=lambda source: (source.files[0], source.series))


def read_volume(source: VolumeSource, allow_gaps: bool = False, values: str = "hu") -> Volume:
    """Read a volume in HU; see `Volume`.

    Args:
        source: of `find_volumes`.
        allow_gaps: whether the slices of a DICOM series may lie unevenly; see `read_dicom`.
        values: 'hu', or 'grey' where the numbers are windowed already, or 'labels' of a mask: `Volume.hu` then holds
            them as they are.

    Raises:
        DataError: the volume cannot be used; the message says why.
        NotAxialError: it is in order but no axial CT, such as a localiser or another modality.
    """
    if source.kind == "dicom":
        volume = read_dicom(source, allow_gaps, values)
    else:
        volume = read_nifti(source) if source.kind == "nifti" else read_metaimage(source)
    check_values(volume, values)
    square_spacing(volume.spacing_mm[1:])
    return volume
