"""Where a run's evaluations are: one folder for each data set and checkpoint, told apart by the content of the data."""

from pathlib import Path

from anomask.errors import ConfigError, RunError
from anomask.reading import read_json
from anomask.report.record.shapes import EVALUATION
from anomask.runs.folder import Run


def evaluation_place(run: Run, data: Path, fingerprint: str, checkpoint: str, name: str | None = None) -> Path:
    """Return where an evaluation goes: where the same one went before, or where none is.

    Args:
        run: the evaluated run.
        data: the data folder, whose name the evaluation has; another of that name gets its fingerprint behind it.
        fingerprint: of its content.
        checkpoint: what was evaluated; all but `best` is in the name.
        name: the user's own, or None.

    Raises:
        ConfigError: another evaluation has the user's name.
    """
    usual = data.absolute().name if checkpoint == "best" else f"{data.absolute().name}_{checkpoint}"
    wanted = [name] if name else [usual, f"{usual}_{fingerprint[:8]}"]
    for folder in map(run.evaluation_folder, wanted):
        if evaluated_with(folder) in (None, (fingerprint, checkpoint)):
            return folder
    raise ConfigError(
        f"{run.evaluation_folder(wanted[-1])} holds the evaluation of another data folder or checkpoint. Choose "
        "another name=, or leave it out."
    )


def find_evaluation(run: Run, fingerprint: str, checkpoint: str = "best") -> Path | None:
    """Return the evaluation of some content, wherever it lay, or None where there is none."""
    found = (file.parent for file in sorted(run.evaluation_folder("").glob("*/record.json")))
    return next((folder for folder in found if evaluated_with(folder) == (fingerprint, checkpoint)), None)


def evaluated_with(folder: Path) -> tuple[str, str] | None:
    """Return the fingerprint of the data and the checkpoint of an evaluation, or None where there is no whole one."""
    try:
        record = read_json(folder / "record.json", EVALUATION, "It is written anew.")
    except (OSError, RunError):
        return None  # none, or a damaged one: written anew
    return record["fingerprint"], record["checkpoint"]
