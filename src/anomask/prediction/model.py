"""A trained detector as predictions use it, from a run folder or an exported file: what it is, and how it detects."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anomask.batches import Detection, SliceBatch
from anomask.data.loading.frame import CROPS
from anomask.errors import RunError
from anomask.reading import fault
from anomask.report.record.shapes import FIGURE, NORMAL_SCORES, THRESHOLD
from anomask.report.text import RESEARCH_USE

FORMAT = 1  # of exported files
CARD = {
    **{"format": FORMAT, "name": str, "run": str, "checkpoint": str, "version": str, "commit": (str, None)},
    **{"size": int, "crop": str, "lung_masks": str, "within_lung": bool, "window": ([float], None)},
    **{"threshold": THRESHOLD | {"pixel": {"threshold": float}}, "normal_scores": (NORMAL_SCORES, None)},
    **{"trained_on": {"data": str, "sha256": (str, None)}, "note": str},
    "figures": [{"data": str, "figure": str, "value": FIGURE, "low": FIGURE, "high": FIGURE, "unit": str}],
}


@dataclass(frozen=True)
class Card:
    """What a detector is, beside its networks: all that a prediction needs, and what its user should know."""

    name: str  # of the run, such as ours_anomask_seed0
    run: str  # name of the run folder
    checkpoint: str  # 'best' or 'last'
    version: str  # of anomask
    commit: str | None
    size: int  # S, side of the networks' slices in pixels
    crop: str  # 'none' or 'lungs'
    lung_masks: str  # 'estimate' or 'given'
    within_lung: bool  # whether pixels of the lung alone count for the score
    window: list[float] | None  # (low, high) in HU of its slices; None where nobody said so
    threshold: dict[str, Any]  # see `anomask.trained.decision`
    normal_scores: list[float] | None  # of the validation normals, sorted
    trained_on: dict[str, Any]  # name of the data folder, and the hash of its contents
    figures: list[dict[str, Any]]  # of its evaluations, with intervals
    note: str = RESEARCH_USE
    format: int = FORMAT

    def plain(self) -> dict[str, Any]:
        """Return the card as plain values, which `card_from` reads."""
        return asdict(self)


def card_from(values: Any, place: Path) -> Card:
    """Make a card of plain values.

    Raises:
        RunError: they are those of another version, or none.
    """
    wrong = fault(values, CARD)
    if wrong is None and values["crop"] not in CROPS:
        wrong = f"crop is {values['crop']!r}"
    if wrong is None and not 1 <= values["size"] <= 4096:
        wrong = f"size is {values['size']}"
    if wrong is not None:
        raise RunError(f"{place} is damaged or of another version of anomask: {wrong}. Export it again.")
    return Card(**{name: values[name] for name in CARD})


class Model:
    """A detector.

    Args:
        card: what it is.
        see: (slices [B, 1, S, S] in [0, 1], pixels that count [B, 1, S, S] bool) -> (maps [B, 1, S, S], scores [B]).
        predictions: folder for its predictions, where no other is named.
        device: where `see` wants its slices.
    """

    def __init__(
        self,
        card: Card,
        see: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        predictions: Path,
        device: str = "cpu",
    ) -> None:
        self.card, self.see, self.predictions = card, see, predictions
        self.device = torch.device(device)

    @torch.no_grad()
    def detect(self, batch: SliceBatch) -> Detection:
        """Detect anomalies in slices; map and score are on the CPU."""
        found = self.see(batch.image.to(self.device), batch.lung_mask.to(self.device))
        return Detection(*(part.to("cpu") for part in found))
