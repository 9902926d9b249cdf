"""Finding a run by what a user calls it: its folder, its name, or one of its checkpoint files."""

from collections.abc import Iterator
from pathlib import Path

from anomask.errors import RunError, did_you_mean
from anomask.runs.folder import Run


def find_run(text: str, runs_folder: str, *stages: str, newest: bool = False) -> Run:
    """Find a run by its folder, by its name (the latest run of that name), or by a checkpoint file.

    Args:
        text: a path, or a folder's name inside `runs_folder`.
        runs_folder: where run folders are kept.
        stages: what kinds of run will do: 'codebook', 'detector', 'baseline'.
        newest: whether a name stands for its newest run, also where that was cut off; otherwise for the one that
            finished last, as long as there is one.

    Raises:
        RunError: there is none, or it is of the other stage.
    """
    wanted = " or ".join(stages)
    places = list(_places(Path(text), Path(runs_folder), newest))
    for folder in places:
        run = Run(folder.resolve())
        if not run.settings_file.is_file():
            continue
        stage = run.read_settings().get("stage")
        found = stage.get("name") if isinstance(stage, dict) else None
        if found not in stages:
            raise RunError(f"{text} is a run of stage {found}; wanted: stage {wanted}.")
        return run
    known = sorted(str(path.parent) for path in Path(runs_folder).glob("*/latest"))
    near = did_you_mean(text, (Path(folder).name for folder in known))
    raise RunError(
        f"no {wanted} run at {text!r}{near} (looked for config.yaml in {', '.join(map(str, places))}). Known runs: "
        f"{', '.join(known) or 'none'}. Train one first: anomask train stage={stages[0]} ..."
    )


def checkpoint_in(text: str) -> str | None:
    """Return the checkpoint that a run's name names, `best` or `last`, or None where it is no checkpoint file."""
    return Path(text).stem if Path(text).suffix == ".ckpt" else None


def _places(path: Path, runs: Path, newest: bool) -> Iterator[Path]:
    if checkpoint_in(str(path)):
        yield path.parent.parent
        return
    named = (path, runs / path)
    yield from named
    last = [folder for name in named for folder in _newest(name)]
    if newest:
        yield from last
    yield from (name / "latest" for name in named)
    if not newest:
        yield from last


def _newest(name: Path) -> list[Path]:
    found = [file for file in name.glob("[!.]*/config.yaml") if not file.parent.is_symlink()]
    return [max(found, key=lambda file: file.stat().st_mtime).parent] if found else []
