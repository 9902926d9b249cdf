"""The files below a data folder, whatever links and locks are in it."""

import os
from pathlib import Path

from anomask.data.folder.findings import WARNING, Finding
from anomask.data.folder.hashing import unreadable
from anomask.errors import printable


def files_of(folder: Path) -> tuple[list[str], list[Finding]]:
    """List the files below a folder by their names in it, sorted; hidden ones are left out.

    Links are followed, also out of the folder: whoever set them meant what they point to. A link back to a folder
    that it is in would never end and is a finding, as are links to nothing and folders that cannot be listed.
    """
    names: list[str] = []
    findings: list[Finding] = []
    waiting = [(folder, frozenset({folder.resolve()}))]  # folders yet to list, with all that they are in
    while waiting:
        place, above = waiting.pop()
        try:
            entries = list(os.scandir(place))
        except OSError as error:
            findings.append(unreadable(place.relative_to(folder).as_posix(), error))
            continue
        for entry in entries:
            path = Path(entry.path)
            name = path.relative_to(folder).as_posix()
            if entry.name.startswith((".", "__MACOSX")):
                continue
            if printable(name) != name:
                findings.append(_name_of_bytes(name))
                continue
            try:
                is_file, is_folder = path.is_file(), path.is_dir()
            except OSError as error:
                findings.append(unreadable(name, error))
                continue
            if is_file:
                names.append(name)
            elif entry.is_symlink() and not is_folder:
                findings.append(_broken_link(name))
            elif is_folder:
                real = path.resolve()
                if real in above:
                    findings.append(_loop(name))
                else:
                    waiting.append((path, above | {real}))
    return sorted(names), sorted(findings, key=lambda finding: finding.files)


def _broken_link(name: str) -> Finding:
    return Finding("broken link", (name,), f"{name} is a link to nothing.", "Restore its target or remove the link.")


def _name_of_bytes(name: str) -> Finding:
    # Neither manifest.csv nor a report could hold it.
    message = f"{printable(name)} has a name that is not UTF-8; it was not looked at."
    remedy = "Rename it: archives from other systems often hold such names."
    return Finding("name not UTF-8", (printable(name),), message, remedy)


def _loop(name: str) -> Finding:
    message = f"{name} is a link back to a folder that it is in; it was not followed."
    return Finding("link loop", (name,), message, "Remove the link.", WARNING)
