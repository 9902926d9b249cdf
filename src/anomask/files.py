"""Writing files so that a killed process or a full disk never leaves half of one."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anomask.errors import ConfigError


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
def whole_folder(path: Path, marker: str) -> Iterator[Path]:
    """Yield a new folder beside `path` to write to; it becomes `path` only if the block ends without an error.

    Args:
        path: an earlier folder there is replaced as a whole, so that no stale file stays.
        marker: a file that every such folder holds; a folder without it is someone else's and is left alone.

    Raises:
        ConfigError: `path` is a file, or a folder with other files.
    """
    earlier = path.is_dir() and any(path.iterdir())
    if path.is_file() or (earlier and not (path / marker).is_file()):
        raise ConfigError(f"{path} holds other files (no {marker}) and is not replaced. Choose an empty or new folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed process with the same number
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():  # a folder cannot replace one that is not empty
            outdated = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(outdated)
            temporary.rename(path)
            shutil.rmtree(outdated)
        else:
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
