"""Walking through folders that someone else filled: no loops, nothing outside, one line for what can't be opened."""

import os
from collections.abc import Callable
from pathlib import Path

from anomask.data.volumes.faults import OnFault, log_fault
from anomask.errors import DataError

OnLeft = Callable[[Path, str], object]


def files_below(place: Path, on_fault: OnFault = log_fault, on_left: OnLeft = lambda path, why: None) -> list[Path]:
    """List the files of a folder and its subfolders, or the one file itself, in the order of their names.

    Links are followed as long as they stay in the folder, each folder once; hidden files and folders are left out.

    Args:
        place: a folder or a file.
        on_fault: called with a DataError for each link that leaves the folder and each folder that cannot be listed.
        on_left: called with each file and folder that is left out for another reason, and with the reason: it is
            hidden, or a link to a file that is there under its own name.

    Raises:
        DataError: `place` does not exist.
    """
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise DataError(f"nothing at {place}. Wanted: a folder or a file.")
    root = place.resolve()
    found: list[Path] = []
    waiting, seen = [place], {root}
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            on_fault(DataError(f"{folder} cannot be listed ({error.strerror}). Change its permissions or remove it."))
            continue
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                on_left(path, "hidden")
                continue
            if entry.is_symlink() and not _stays_inside(path, root, on_fault):
                continue
            if entry.is_file():
                found.append(path)
            elif entry.is_dir() and path.resolve() not in seen:
                seen.add(path.resolve())
                waiting.append(path)
    return _each_once(found, on_left) if any(path.is_symlink() for path in found) else sorted(found)


def _each_once(files: list[Path], on_left: OnLeft) -> list[Path]:
    """Keep each file under one name: its own, where that is among them."""
    kept: dict[Path, Path] = {}
    for path in sorted(files, key=lambda path: (path.is_symlink(), path)):
        if kept.setdefault(path.resolve(), path) != path:
            on_left(path, "a link to another file of the input")
    return sorted(kept.values())


def _stays_inside(link: Path, root: Path, on_fault: OnFault) -> bool:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a link to itself is a RuntimeError in Python 3.11 and 3.12
        on_fault(DataError(f"{link} is a link to nowhere ({type(error).__name__}). Remove it or restore its target."))
        return False
    if not target.is_relative_to(root):
        on_fault(DataError(f"{link} is a link that leaves {root}. Copy its target there, or prepare it by itself."))
        return False
    return True
