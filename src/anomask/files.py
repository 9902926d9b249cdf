"""Writing files so that a killed process or a full disk never leaves half of one."""

import ctypes
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from anomask.errors import ConfigError

# Inside the place where a folder is written: who holds the lock is at work.
LOCK, NEW, OLD = "anomask.lock", "new", "old"


@contextmanager
def whole_file(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside `path` to write to; it becomes `path` only if the block ends without an error.

    Args:
        path: the file; an earlier one stays until the new one is whole.
        durable: whether to wait until the new one is on the disk, so that it outlives a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        if durable:
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process has left in a folder that nobody else writes to."""
    for file in folder.glob(".*.part*"):
        if file.is_file():
            file.unlink(missing_ok=True)


def new_folder(path: Path) -> Path:
    """Make the folder `path`, or the first of ``<path>_2``, ``<path>_3``, ... that is not there: never one of another.

    Returns:
        the folder that was made
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    number, wanted = 1, path
    while True:
        try:
            wanted.mkdir()
            return wanted
        except FileExistsError:
            number += 1
            wanted = path.with_name(f"{path.name}_{number}")


@contextmanager
def whole_folder(path: Path, marker: str | None) -> Iterator[Path]:
    """Yield a new folder to write to; it becomes `path` only if the block ends without an error.

    Leftovers of killed processes beside `path` are removed first; a predecessor that one had moved away comes back.

    Args:
        path: an earlier folder there is replaced as a whole, so that no stale file stays.
        marker: a file that every such folder holds; a folder without it is someone else's and is left alone. None:
            whatever is there is ours.

    Raises:
        ConfigError: `path` is a file, or a folder with other files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    earlier = path.is_dir() and any(path.iterdir())
    if path.is_file() or (earlier and marker is not None and not (path / marker).is_file()):
        raise ConfigError(f"{path} holds other files (no {marker}) and is not replaced. Choose an empty or new folder.")
    place = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    lock = FileLock(place / LOCK)
    try:
        with suppress(NotImplementedError):  # a file system without locks: nobody sweeps there
            lock.acquire()
        new = place / NEW
        new.mkdir()
        yield new
        if path.is_symlink() or not path.exists():
            path.unlink(missing_ok=True)
            new.rename(path)
        elif not _exchange(new, path):
            path.rename(place / OLD)  # a folder cannot replace one that is not empty
            new.rename(path)
    finally:
        lock.release()
        shutil.rmtree(place, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes have left of their `whole_folder` in a folder; those at work are left alone."""
    for place in folder.glob(".*.part"):
        if not (place / LOCK).is_file():
            continue
        lock = FileLock(place / LOCK)
        try:
            lock.acquire(timeout=0)
        except (Timeout, NotImplementedError, OSError):
            continue
        path = folder / place.name[1:].rsplit(".", 2)[0]
        if (place / OLD).is_dir() and not path.exists():
            (place / OLD).rename(path)
        shutil.rmtree(place, ignore_errors=True)
        lock.release()


def _exchange(one: Path, other: Path) -> bool:
    # At once, so that no kill finds neither; Linux alone, and not on every file system.
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def link_whole(link: Path, target: Path) -> None:
    """Point the symbolic link `link` at `target`, replacing an earlier one at once."""
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = link.with_name(f".{link.name}.{os.getpid()}.part")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, link)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, wholly or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as sorted, indented JSON; NaN and infinity are an error, not a file that no one can read."""
    with whole_file(path, durable=True) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
