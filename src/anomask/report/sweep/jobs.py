"""What the run folders of a sweep say of their jobs. A damaged file is a note on its job, and torch is not needed.

The files' names are those of `anomask.runs.folder.Run`, which needs torch for its checkpoints.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from anomask.reading import read_json, read_yaml
from anomask.report.record import shapes
from anomask.report.tables.columns import image, pixel

FINISHED, FAILED, UNFINISHED, NOT_BEGUN, GONE = "finished", "failed", "unfinished", "not begun", "gone"
FAILURE = "failure.json"
FIGURES = {
    "slice AUROC": image("auroc"),
    "slice AP": image("ap"),
    "pixel AP": pixel("ap", "slice"),
    "pixel AP in the lung": pixel("ap", "lung"),
}


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

    def read(file: Path, shape: Any, take: Callable[[Any], Any]) -> Any:
        reader = read_yaml if file.suffix == ".yaml" else read_json
        try:
            return take(reader(file, shape, "")) if file.is_file() else None
        except (OSError, ValueError) as error:
            notes.append(f"{file.relative_to(folder)} cannot be used: {str(error).removeprefix(f'{file} ').strip()}")
            return None

    state = _state(folder)
    if state == FAILED and (reason := read(folder / FAILURE, shapes.FAILURE, lambda note: note["message"])):
        notes.append(f"failed: {reason}")
    return Job(
        name,
        folder,
        state,
        read(folder / "config.yaml", shapes.SETTINGS, lambda settings: _kept(flat(settings), without)) or {},
        read(folder / "validation.json", shapes.VALIDATION, _score),
        read(folder / "cost.json", shapes.BILL, lambda cost: cost["seconds"] / 60),
        {
            file.parent.name: figures
            for file in sorted(folder.glob("evaluation/*/record.json"))
            if (figures := read(file, shapes.SUMMARY, _figures)) is not None
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
    score = Score(content["monitor"], content["mode"], float(content["value"]))
    if score.mode not in ("min", "max"):
        raise ValueError(f"mode is {score.mode!r}; wanted: min or max")
    return score


def _figures(record: dict[str, Any]) -> dict[str, float | None]:
    if not any(row["group"] == "all" for row in record["image"]):
        raise ValueError("it has no figures of all diseases together")
    return {title: read(record) for title, read in FIGURES.items()}
