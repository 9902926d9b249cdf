"""The folder that preparation writes: slices, markers of finished units, manifest.csv and preparation.json."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from anomask.data.folder.manifest import natural_key
from anomask.errors import ConfigError, DataError
from anomask.files import write_json, write_text
from anomask.preparation.units import Unit

COLUMNS = ("path", "split", "label", "disease", "patient", "source", "mask", "lung_mask")
COLUMNS += ("series", "slice", "spacing_mm")
Row = dict[str, str]


class Output:
    """A data folder that may grow over several calls, as long as they agree about window, bits and pseudonyms.

    Args:
        folder: where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._markers = folder / ".prepared"

    def begin(self, common: dict[str, Any]) -> None:
        """Check that earlier calls wrote alike, and list what is finished: a cut-off call never looks like a whole one.

        Args:
            common: what all slices of the folder share.

        Raises:
            ConfigError: the folder was prepared otherwise, or holds something else.
        """
        file = self.folder / "preparation.json"
        if file.is_file():
            before = json.loads(file.read_text(encoding="utf-8"))["common"]
            changed = [key for key in common if before.get(key) != common[key]]
            if changed:
                raise ConfigError(
                    f"{self.folder} was prepared with another {', '.join(changed)} (before: "
                    f"{', '.join(str(before.get(key)) for key in changed)}). Choose another output, or remove it."
                )
        elif self.folder.is_dir() and any(self.folder.iterdir()):
            raise ConfigError(f"{self.folder} is not empty and was not prepared here. Choose another output.")
        else:
            write_json(file, {"common": common, "finished": False})
        for part in self.folder.rglob(".*.part.*"):  # of a call that was killed while it wrote, see `whole_file`
            part.unlink()
        self.write_manifest()

    def is_finished(self, unit: Unit) -> bool:
        """Say whether a unit was prepared before, with the same files and settings.

        Raises:
            DataError: another input has a volume of the same name.
        """
        marker = self._read(unit)
        if marker is None:
            return False
        if marker["fingerprint"] == unit.fingerprint:
            return marker["complete"]
        if marker["place"] != unit.place:
            raise DataError(
                f"{self.folder} already has slices of {unit.items[0].path} of another input or other files. Set "
                "source=<name of the data set>, so that equal names stay apart."
            )
        return False

    def forget(self, unit: Unit) -> None:
        """Remove what an earlier call wrote for a unit whose files or settings have changed."""
        marker = self._read(unit)
        if marker is not None:
            for row in marker["rows"]:
                for name in filter(None, (row["path"], row["mask"], row["lung_mask"])):
                    (self.folder / name).unlink(missing_ok=True)
            self._marker(unit).unlink()

    def finish(self, unit: Unit, rows: list[Row], complete: bool) -> None:
        """Mark a unit as prepared; called after all of its slices are written."""
        marker = {"fingerprint": unit.fingerprint, "place": unit.place, "complete": complete, "rows": rows}
        write_json(self._marker(unit), marker)

    def write_manifest(self) -> list[Row]:
        """Write manifest.csv anew from all markers, in natural order of the slices' names."""
        rows = [row for file in self._markers.glob("*.json") for row in json.loads(file.read_text())["rows"]]
        rows.sort(key=lambda row: natural_key(row["path"]))
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.folder / "manifest.csv", text.getvalue())
        return rows

    def write_about(self, about: dict[str, Any]) -> None:
        """Write preparation.json."""
        write_json(self.folder / "preparation.json", about)

    def _marker(self, unit: Unit) -> Path:
        return self._markers / f"{unit.identity}.json"

    def _read(self, unit: Unit) -> dict[str, Any] | None:
        file = self._marker(unit)
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
