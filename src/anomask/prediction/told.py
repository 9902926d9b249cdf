"""What a prediction says of itself and its input: no name of the input's files unless asked for."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from anomask.data.loading.inputs import Inputs
from anomask.errors import DataError, printable
from anomask.prediction.model import Card
from anomask.report.text import RESEARCH_USE
from anomask.runs.commit import current_commit
from anomask.settings.schema import PredictConfig

log = logging.getLogger(__name__)

NEUTRAL_FAULT = "a slice, volume or file could not be used; the account beside this folder says which, and why"
NAMES = ("neutral", "input")


class Faults:
    """Reports what cannot be used, one line each, and keeps the lines; raises at once where `strict`."""

    def __init__(self, strict: bool) -> None:
        self.strict, self.lines = strict, []

    def __call__(self, fault: DataError) -> None:
        """Take a fault."""
        if self.strict:
            raise fault
        log.error("%s: %s", type(fault).__name__, fault)
        self.lines.append(str(fault))

    def told(self, names: str) -> list[str]:
        """Return the lines for a prediction's files; with neutral names they tell no more than the kind of each."""
        return self.lines if names == "input" else [NEUTRAL_FAULT] * len(self.lines)


def volumes_of(inputs: Inputs, slices: list[dict[str, Any]], names: str) -> list[dict[str, Any]]:
    """Say which volume is which: how many slices it has, its number in its study, and its first file where names may.

    Args:
        inputs: what was found.
        slices: rows of scores.csv.
        names: as in the settings.
    """
    counts = Counter(row["series"] for row in slices)
    told = []
    for name, source in inputs.volumes.items():
        if name in counts:
            about = {"name": name, "kind": source.kind, "slices": counts[name], "files": len(source.files)}
            about |= {"series_number": source.number} if source.kind == "dicom" else {}
            about |= {"first_file": printable(source.files[0].name)} if names == "input" else {}
            told.append(about)
    return told


def about(config: PredictConfig, card: Card, window: tuple[float, float]) -> dict[str, Any]:
    """Return what identifies a prediction: run, code, input and what was decided with."""
    return {
        "run": card.name,
        "run_folder": card.run,
        "checkpoint": card.checkpoint,
        "commit": current_commit(),
        **({"input": printable(Path(config.input).resolve().name)} if config.names == "input" else {}),
        "names": config.names,
        "window_hu": list(window),
        "values": config.values,
        "allow_gaps": config.allow_gaps,
        "min_pixels": config.min_pixels,
        "threshold": card.threshold,
        "note": RESEARCH_USE,
    }
