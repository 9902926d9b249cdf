"""Everything after the networks: anomaly map and slice score in one object."""

from collections.abc import Callable

from torch import Tensor

from anomask.scoring.anomaly_map import AnomalyMap
from anomask.scoring.crops import Crops


class Scorer:
    """Turns probability and restoration into an anomaly map and one score a slice.

    Args:
        anomaly_map: how the map is made.
        image_score: (map, within) -> [B], a function of `anomask.scoring.image_score` with its settings bound.
        within_lung: whether the score counts lung pixels alone, where the data has lung masks.
        repair_rounds: rings of flagged tokens that are repaired before restoration; 0 is off (the paper's).
        mirror: whether the classifier also sees the slice mirrored left to right; both answers are averaged.
        crops: whose joined map is averaged with that of the whole slice (multi-crop detection); None: the slice alone.
    """

    def __init__(
        self,
        anomaly_map: AnomalyMap,
        image_score: Callable[[Tensor, Tensor], Tensor],
        within_lung: bool,
        repair_rounds: int,
        mirror: bool,
        crops: Crops | None = None,
    ) -> None:
        self.anomaly_map, self.image_score = anomaly_map, image_score
        self.within_lung, self.repair_rounds, self.mirror, self.crops = within_lung, repair_rounds, mirror, crops

    def score(self, anomaly_map: Tensor, lung_mask: Tensor) -> Tensor:
        """Return slice scores [B] of maps [B, 1, S, S], given lung masks [B, 1, S, S] bool."""
        return self.image_score(anomaly_map, self.counted(lung_mask))

    def counted(self, lung_mask: Tensor) -> Tensor:
        """Return the pixels that count for scores and thresholds, bool of the lung mask's shape."""
        return lung_mask if self.within_lung else lung_mask | True
