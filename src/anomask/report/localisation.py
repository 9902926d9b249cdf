"""Pixel figures of several maps, diseases and regions, collected in one pass over the test set."""

from typing import Any

from torch import Tensor

from anomask.metrics.pixel import PixelMetrics
from anomask.types import SliceBatch

ANOMALY_MAP = "anomaly map"


class PixelTally:
    """Pixel metrics over abnormal slices with a lesion mask, in the whole slice and in the lung.

    The anomaly map is counted for all diseases together and for each; other maps for all together alone.
    """

    def __init__(self) -> None:
        self.metrics: dict[tuple[str, str, str], PixelMetrics] = {}

    def update(self, batch: SliceBatch, maps: dict[str, Tensor], diseases: list[str]) -> None:
        """Add a batch.

        Args:
            batch: slices with their masks.
            maps: name -> [B, 1, S, S] >= 0.
            diseases: [B] disease of each slice, '' for normal ones, which are left out.
        """
        for row, disease in enumerate(diseases):
            if not disease or not bool(batch.has_mask[row]):
                continue
            regions = {"slice": None}
            if bool(batch.has_lung_mask[row]):
                regions["lung"] = batch.lung_mask[row][None]
            for name, values in maps.items():
                for group in ("all", disease) if name == ANOMALY_MAP else ("all",):
                    for region, within in regions.items():
                        metric = self.metrics.setdefault((group, region, name), PixelMetrics())
                        metric.update(values[row][None], batch.mask[row][None], within)

    def rows(self) -> list[dict[str, Any]]:
        """Return one plain row a group, region and map."""
        return [
            {"group": group, "region": region, "map": name, **metric.counts(), **metric.compute()}
            for (group, region, name), metric in sorted(self.metrics.items(), key=lambda item: item[0])
        ]
