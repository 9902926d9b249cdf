"""MetaImage files (.mhd with .raw or .zraw, .mha), in which LUNA16 is published, as volumes."""

import zlib
from pathlib import Path

import numpy as np

from anomask.data.volumes.geometry import Volume, VolumeSource, check_size, spacing_of, to_axial
from anomask.errors import DataError

TYPES = {"MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4"}
TYPES |= {"MET_UINT": "u4", "MET_FLOAT": "f4", "MET_DOUBLE": "f8"}
BIG_ENDIAN = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
VOXELS = (".raw", ".zraw", ".img", ".bin", ".dat")  # of a .mhd's data file, which has its name
LONGEST_HEADER = 65536


def is_metaimage(path: Path) -> bool:
    """Say whether the name is that of a MetaImage header."""
    return path.suffix.lower() in (".mhd", ".mha")


def read_metaimage(source: VolumeSource) -> Volume:
    """Read a MetaImage; see `Volume`.

    Raises:
        DataError: damaged, too large, or its data file is missing or lies elsewhere.
        NotAxialError: no axis runs along the body.
    """
    path = source.path
    try:
        head, body = _split(path)
        # A .mhd is text throughout; a .mha's text ends with the line ElementDataFile.
        fields = dict(line.split("=", 1) for line in head.decode("ascii").splitlines() if "=" in line)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        shape = tuple(int(number) for number in fields["DimSize"].split())
        check_size(path, shape)
        order = ">" if any(fields.get(name, "").lower() == "true" for name in BIG_ENDIAN) else "<"
        data = _data(path, fields, body)
        values = np.frombuffer(data, order + TYPES[fields["ElementType"]]).reshape(shape, order="F")
        affine = _affine(fields)
    except DataError:
        raise
    except (OSError, KeyError, ValueError, zlib.error) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path} cannot be read as MetaImage ({reason}). Copy it again.") from error
    hu, affine, orientation = to_axial(values.astype(np.float32), affine)
    return Volume(hu, affine, spacing_of(affine), "", path.stem, path, orientation)


def _split(path: Path) -> tuple[bytes, bytes]:
    content = path.read_bytes() if path.suffix.lower() == ".mha" else path.open("rb").read(LONGEST_HEADER)
    start = content.index(b"ElementDataFile")
    end = content.find(b"\n", start)
    return (content, b"") if end < 0 else (content[:end], content[end + 1 :])


def _data(path: Path, fields: dict[str, str], body: bytes) -> bytes:
    name = fields["ElementDataFile"]
    if name != "LOCAL":
        if Path(name).name != name:
            raise DataError(f"{path} names the data file {name} of another folder. Put it beside the header.")
        body = (path.parent / name).read_bytes()
    size = int(np.prod([int(n) for n in fields["DimSize"].split()])) * int(TYPES[fields["ElementType"]][1])
    others = fields.get("ElementNumberOfChannels", "1"), fields.get("HeaderSize", "0")
    if others != ("1", "0"):
        raise DataError(
            f"{path} has {others[0]} channels and a header of {others[1]} bytes before them; wanted 1 and 0."
        )
    if fields.get("CompressedData", "False").lower() == "true":
        body = zlib.decompressobj().decompress(body, size)  # no more than the header declares
    elif len(body) - size >= int(fields["DimSize"].split()[0]) > 0:  # rows of another length would be read shifted
        raise DataError(f"{path} holds {len(body)} bytes and its header says {size}: it is damaged. Export it again.")
    if len(body) < size:
        raise DataError(f"{path} is cut off: {len(body)} of {size} bytes. Copy it again.")
    return body[:size]


def _affine(fields: dict[str, str]) -> np.ndarray:
    """Return (i, j, k, 1) -> RAS mm; MetaImage's TransformMatrix lists the axes one after the other, in LPS."""
    numbers = {key: np.array(fields[key].split(), float) for key in ("ElementSpacing", "Offset")}
    axes = np.array(fields.get("TransformMatrix", "1 0 0 0 1 0 0 0 1").split(), float).reshape(3, 3).T
    affine = np.eye(4)
    affine[:3, :3] = axes * numbers["ElementSpacing"]
    affine[:3, 3] = numbers["Offset"]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
