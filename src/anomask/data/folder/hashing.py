"""SHA-256 of files, which caches and fingerprints are keyed by: always of the content that is there now."""

import hashlib
import time
from collections.abc import Iterable
from pathlib import Path

from anomask.data.folder.findings import Finding
from anomask.parallel import in_parallel

# A file system's clock ticks: a file written twice within a tick keeps its times, so a young file is always read.
SETTLED_NS = 3_000_000_000

_known: dict[tuple[str, int, int, int, int], str] = {}  # of this process


def read_hashed(path: Path) -> tuple[bytes, str]:
    """Read a file once and return its content and hash.

    Raises:
        DataError: it cannot be read.
    """
    try:
        key = _identity(path)
        settled = time.time_ns() - key[-1] > SETTLED_NS
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(str(path), error).error() from error
    found = hashlib.sha256(content).hexdigest()
    if settled:
        _known[key] = found
    return content, found


def file_hash(path: Path) -> str:
    """Return a file's hash; within one process an unchanged file is read once.

    Unchanged means inode, size and both times, none of them younger than a few seconds when it was read: a file that is
    replaced by one of equal size and modification time still has another inode or change time. Nothing is remembered
    between processes, where only reading is safe.

    Raises:
        DataError: it cannot be read.
    """
    try:
        known = _known.get(_identity(path))
    except OSError as error:
        raise unreadable(str(path), error).error() from error
    return known if known is not None else read_hashed(path)[1]


def file_hashes(paths: Iterable[Path]) -> list[str]:
    """Return the hashes of many files, read in parallel."""
    return list(in_parallel(file_hash, list(paths)))


def unreadable(name: str, error: OSError) -> Finding:
    """Return the finding that a file or folder cannot be opened."""
    return Finding(
        "unreadable",
        (name,),
        f"{name} cannot be opened ({error.strerror or error}).",
        "Give yourself permission to read it, or remove it.",
    )


def _identity(path: Path) -> tuple[str, int, int, int, int]:
    stat = path.stat()
    return str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
