"""Files that look like images or volumes and are of a kind that is not read here: told by suffix and first bytes."""

from pathlib import Path

KNOWN = {
    "NRRD": (".nrrd", ".nhdr", ".seg.nrrd"),
    "NIfTI or Analyze in two files": (".img", ".hdr", ".img.gz", ".hdr.gz"),
    "voxels without a header": (".raw", ".zraw", ".raw.gz", ".bin.gz"),
    "a volume of another program": (
        ".mgz",
        ".mgh",
        ".mnc",
        ".mnc2",
        ".gipl",
        ".gipl.gz",
        ".vtk",
        ".vti",
        ".par",
        ".rec",
    ),
    "an array file": (".npy", ".npz", ".h5", ".hdf5", ".mat", ".zarr", ".pt", ".tfrecord", ".tfrecords"),
    "an archive": (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"),
    "an image of another kind": (".webp", ".gif", ".jp2", ".j2k", ".jls", ".pgm", ".ppm", ".pnm", ".heic", ".svs"),
}
# Where the suffix says nothing, the first bytes may: (offset, bytes, what).
MAGIC = (
    (0, b"\x89PNG", "an image with another suffix"),
    (0, b"\xff\xd8\xff", "an image with another suffix"),
    (0, b"II*\0", "an image with another suffix"),
    (0, b"MM\0*", "an image with another suffix"),
    (0, b"NRRD", "NRRD"),
    (0, b"\x89HDF", "an array file"),
    (0, b"\x93NUMPY", "an array file"),
    (0, b"\x1f\x8b", "a compressed file"),
    (344, b"n+1\0", "NIfTI with another suffix"),
    (344, b"ni1\0", "NIfTI with another suffix"),
    (4, b"n+2\0", "NIfTI with another suffix"),
)
LOOKED_AT = 512  # bytes


def what_is_unread(path: Path) -> str:
    """Return what kind of data a file is that is not read here, or '' where it is no data.

    Programs, texts and tables are no data; a file without suffix that is not text may be anything and counts as data.

    Args:
        path: of a file that is neither DICOM, NIfTI, MetaImage nor an image.

    Raises:
        OSError: it cannot be opened.
    """
    name = path.name.lower()
    for kind, suffixes in KNOWN.items():
        if name.endswith(suffixes):
            return kind
    with path.open("rb") as stream:
        start = stream.read(LOOKED_AT)
    for offset, magic, kind in MAGIC:
        if start[offset:].startswith(magic):
            return kind
    return "a file of unknown kind" if not path.suffix and b"\0" in start else ""
