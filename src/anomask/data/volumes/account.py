"""The account of an input: what became of every file that was found in it."""

import csv
import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from anomask.cells import neutral
from anomask.data.volumes.faults import OnFault, log_fault
from anomask.data.volumes.geometry import LeftOut
from anomask.data.volumes.walk import files_below
from anomask.errors import DataError, printable
from anomask.files import whole_file

log = logging.getLogger(__name__)

USED, LEFT_OUT, NOT_USED, FAULT = "used", "left out", "not used", "fault"
ORDER = (USED, LEFT_OUT, NOT_USED, FAULT)
SEE_ABOVE = "see the lines above"
NAMED = 3  # files that a line of the summary names


class Entry(NamedTuple):
    """What became of a file."""

    status: str  # used; left out: no data, or an option says so; not used: looks like data; fault: cannot be used
    why: str
    name: str = ""  # in the output


class Account:
    """Keeps what became of each file; the last word about a file counts.

    Args:
        place: the input, a folder or a file; messages name files by their place in it.
        on_fault: called with each fault, in which paths are relative.
    """

    def __init__(self, place: Path, on_fault: OnFault = log_fault) -> None:
        self.place, self._on_fault = place, on_fault
        self.entries: dict[Path, Entry] = {}

    def use(self, files: Iterable[Path], why: str, name: str = "") -> None:
        """Note that files are used, as what, and what they are called in the output."""
        self._note(files, Entry(USED, why, name))

    def leave(self, files: Iterable[Path], why: str) -> None:
        """Note that files are left out because they are no data, or because an option says so: no fault."""
        self._note(files, Entry(LEFT_OUT, why))

    def files(self) -> list[Path]:
        """List the files of the input, see `files_below`; what is left out, and what cannot be listed, is noted."""
        return files_below(self.place, self.fault, lambda path, why: self.leave([path], why))

    def leave_slices(self, slices: Iterable[LeftOut]) -> None:
        """Note, and warn, that slices of a volume are left out of it."""
        for name, why in slices:
            log.warning("left out of its series: %s: %s", self.relative(name), self.relative(why))
            if Path(name) in self.entries:
                self.leave([Path(name)], self.relative(why))

    def miss(self, files: Iterable[Path], why: str) -> None:
        """Note that files look like data and are not used; `report_missed` makes faults of them."""
        self._note(files, Entry(NOT_USED, why))

    def fault(self, error: DataError, files: Iterable[Path] = ()) -> None:
        """Report a fault, with paths inside the input, and note that these files are not used because of it."""
        told = type(error)(self.relative(str(error)))
        self._note(files, Entry(FAULT, str(told)))
        self._on_fault(told)

    def is_missed(self, file: Path) -> bool:
        """Say whether a file was missed, see `miss`."""
        return file in self.entries and self.entries[file].status == NOT_USED

    def report_missed(self) -> None:
        """Report all that was missed, one fault for each reason."""
        missed = defaultdict(list)
        for path in filter(self.is_missed, self.entries):
            missed[self.entries[path].why].append(path)
        for why, paths in missed.items():
            self._on_fault(DataError(f"{len(paths)} of the files not used: {why} ({self._some(paths)})."))

    def relative(self, text: str) -> str:
        """Take the place of the input out of a text: what lies in it is named from there."""
        root = self.place if self.place.is_dir() else self.place.parent
        for place in {root, root.absolute(), root.resolve()} - {Path(), Path("/")}:
            text = re.sub(rf"(?<![\w./-]){re.escape(printable(str(place)))}(?:/|(?![\w.-]))", "", text)
        return text

    def inside(self, path: Path) -> str:
        """Return a file's place in the input, fit to be shown and written."""
        return printable(path.relative_to(self.place).as_posix() if self.place.is_dir() else path.name)

    def summary(self) -> list[str]:
        """Return a line for each thing that became of files: how many, what, and some of their names."""
        kinds: dict[tuple[str, str], list[Path]] = defaultdict(list)
        for path, entry in self.entries.items():
            kinds[entry.status, SEE_ABOVE if entry.status == FAULT else entry.why].append(path)
        order = sorted(kinds, key=lambda kind: (ORDER.index(kind[0]), -len(kinds[kind])))
        return [f"{len(kinds[kind]):6d} {': '.join(kind)} ({self._some(kinds[kind])})" for kind in order]

    def write(self, file: Path) -> None:
        """Write a line for each file as CSV that its owner alone can read: its names are those of the input."""
        with whole_file(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
            os.chmod(temporary, 0o600)
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(("file", "became", "because", "name"))
            for path in sorted(self.entries):
                writer.writerow(map(neutral, (self.inside(path), *map(printable, self.entries[path]))))

    def say(self) -> None:
        """Log the summary."""
        log.info("%d files in the input:\n%s", len(self.entries), "\n".join(self.summary()))

    def tell(self, file: Path) -> None:
        """Log the summary and write the table of all files."""
        self.write(file)
        self.say()
        log.info("what became of each file: %s (it holds the files' own names: do not pass it on)", file)

    def _note(self, files: Iterable[Path], entry: Entry) -> None:
        self.entries.update(dict.fromkeys(files, entry))

    def _some(self, paths: list[Path]) -> str:
        more = f", and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        return ", ".join(self.inside(path) for path in sorted(paths)[:NAMED]) + more


def table_of(output: Path) -> Path:
    """Return where the account of an output is written: beside it, never in it."""
    return output.resolve().with_name(f"{output.resolve().name}_files.csv")
