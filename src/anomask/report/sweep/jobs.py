"""What the run folders of a sweep say of their jobs. A damaged file is a note on its job, and torch is not needed.

The files' names are those of `anomask.runs.folder.Run`, which needs torch for its checkpoints.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from anomask.report.tables.columns import image, pixel

FINISHED, FAILED, UNFINISHED, NOT_BEGUN, GONE = "finished", "failed", "unfinished", "not begun", "gone"
FAILURE = "failure.json"
FIGURES = {
    "slice AUROC": image("auroc"),
    "slice AP": image("ap"),
    "pixel AP": pixel("ap", "slice"),
    "pixel AP in the lung": pixel("ap", "lung"),
}
# What reading a damaged file may raise, and looking for a figure in a record of another shape.
DAMAGED = (OSError, ValueError, TypeError, LookupError, AttributeError, StopIteration, yaml.YAMLError)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast; a sweep has hundreds of settings files


class Score(NamedTuple):
    """What the run's best checkpoint was chosen by, on validation data."""

    monitor: str
    mode: str  # 'min' or 'max'
    value: float


class Job(NamedTuple):
    """One job of a sweep."""

    name: str
    folder: Path  # its run folder, as it is linked
    state: str  # FINISHED, FAILED, UNFINISHED, NOT_BEGUN or GONE
    settings: dict[str, Any]  # dotted name -> value; empty where they cannot be read
    score: Score | None
    minutes: float | None
    evaluations: dict[str, dict[str, float | None]]  # data set -> figure -> value
    links: list[tuple[str, Path]]  # what there is to look at
    notes: list[str]


def linked_jobs(folder: Path) -> list[tuple[str, Path]]:
    """Find the jobs of a sweep: its links, also those that lead nowhere, and folders with settings."""
    return [
        (path.name, path)
        for path in sorted(folder.glob("[!.]*"))  # a link that is being made has a hidden name
        if (path.is_symlink() and (path.is_dir() or not path.exists())) or (path / "config.yaml").is_file()
    ]


def read_job(name: str, folder: Path, without: Sequence[str]) -> Job:
    """Read what a run folder says; what is not there is None, what cannot be read is None and a note.

    Args:
        name: of the job.
        folder: of its run.
        without: settings that do not count, such as where the run is: dotted names, also of whole groups.
    """
    if not folder.is_dir():
        return Job(name, folder, GONE, {}, None, None, {}, [], ["its run folder is gone"])
    notes: list[str] = []

    def read(file: Path, take: Callable[[Any], Any]) -> Any:
        try:
            if not file.is_file():
                return None
            text = file.read_text(encoding="utf-8")
            return take(yaml.load(text, LOADER) if file.suffix == ".yaml" else json.loads(text))
        except DAMAGED as error:
            notes.append(f"{file.relative_to(folder)} cannot be used ({type(error).__name__}): cut off or damaged")
            return None

    state = _state(folder)
    if state == FAILED and (reason := read(folder / FAILURE, lambda note: str(note["message"]))):
        notes.append(f"failed: {reason}")
    return Job(
        name,
        folder,
        state,
        read(folder / "config.yaml", lambda settings: _kept(flat(settings), without)) or {},
        read(folder / "validation.json", _score),
        read(folder / "cost.json", lambda cost: _finite(cost["seconds"]) / 60),
        {
            file.parent.name: figures
            for file in sorted(folder.glob("evaluation/*/record.json"))
            if (figures := read(file, _figures)) is not None
        },
        _links(folder),
        notes,
    )


def flat(settings: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Name every leaf of nested settings as on the command line: 'synthesiser.share'. Lists are leaves."""
    leaves: dict[str, Any] = {}
    for key, value in settings.items():
        nested = isinstance(value, dict) and value
        leaves |= flat(value, f"{above}{key}.") if nested else {f"{above}{key}": value}
    return leaves


def _state(folder: Path) -> str:
    if (folder / "cost.json").is_file():
        return FINISHED
    if (folder / FAILURE).is_file():
        return FAILED
    return UNFINISHED if (folder / "checkpoints" / "last.ckpt").is_file() else NOT_BEGUN


def _kept(settings: dict[str, Any], without: Sequence[str]) -> dict[str, Any]:
    groups = tuple(f"{name}." for name in without)
    return {name: value for name, value in settings.items() if not f"{name}.".startswith(groups)}


def _links(folder: Path) -> list[tuple[str, Path]]:
    reports = sorted(folder.glob("evaluation/*/report.html"))
    links = [(f"report {file.parent.name}", file) for file in reports]
    links += [("pictures", folder / "pictures"), ("config", folder / "config.yaml"), ("folder", folder)]
    return [(text, path) for text, path in links if path.exists()]


def _score(content: dict[str, Any]) -> Score:
    score = Score(str(content["monitor"]), content["mode"], _finite(content["value"]))
    if score.mode not in ("min", "max"):
        raise ValueError(f"mode is {score.mode!r}; wanted: min or max")
    return score


def _figures(record: dict[str, Any]) -> dict[str, float | None]:
    found = {title: read(record) for title, read in FIGURES.items()}
    return {title: None if value is None else _finite(value) for title, value in found.items()}


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return float(value)
