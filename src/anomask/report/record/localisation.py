"""Pixel and lesion figures of several maps, diseases and regions, collected in one pass over the test set."""

from typing import Any

from torch import Tensor

from anomask.batches import SliceBatch
from anomask.metrics.lesions import LesionMetrics
from anomask.metrics.pixel import PixelMetrics, pixel_sample, pixel_truth, sample_figures
from anomask.metrics.pixel_clusters import PixelClusters
from anomask.metrics.trivial import PixelFloors
from anomask.report.record.names import ANOMALY_MAP

SLICE_FIGURES = ("auroc", "ap", "dice")


class PixelTally:
    """Pixel and lesion metrics over abnormal slices with a lesion mask, in the whole slice and in the lung.

    Each is counted for all diseases together and for each. `slices` holds the figures of single slices: in the lung
    where a lung mask came with the data, else in the whole slice.

    Args:
        threshold: the pixel threshold from validation normals, or None.
        unit: 'patient', 'lesion donor' or 'slice', what the intervals resample.
    """

    def __init__(self, threshold: float | None, unit: str) -> None:
        self.threshold, self.unit = threshold, unit
        self.pixels: dict[tuple[str, str, str], PixelMetrics] = {}
        self.lesions: dict[tuple[str, str], LesionMetrics] = {}
        self.clusters: dict[tuple[str, str], PixelClusters] = {}
        self.slices: dict[str, dict[str, Any]] = {}

    def update(
        self, batch: SliceBatch, maps: dict[str, Tensor], names: list[str], clusters: list[str], diseases: list[str]
    ) -> None:
        """Add a batch.

        Args:
            batch: slices with their masks.
            maps: name -> [B, 1, S, S] >= 0.
            names: [B]
            clusters: [B] what intervals resample as a whole, '' where unknown.
            diseases: [B], '' for normal slices, which are left out.
        """
        for row, disease in enumerate(diseases):
            if not disease or not bool(batch.has_mask[row]):
                continue
            own = {name: values[row][None] for name, values in maps.items()}
            mask, cluster = batch.mask[row][None], clusters[row] if self.unit != "slice" else names[row]
            self._update("slice", own, mask, None, disease, names[row], cluster)
            if bool(batch.has_lung_mask[row]):
                self._update("lung", own, mask, batch.lung_mask[row][None], disease, names[row], cluster)

    def _update(
        self,
        region: str,
        maps: dict[str, Tensor],
        mask: Tensor,
        within: Tensor | None,
        disease: str,
        name: str,
        cluster: str,
    ) -> None:
        truth = pixel_truth(mask, within)
        for kind, values in maps.items():
            threshold = self.threshold if kind == ANOMALY_MAP else None
            sample = pixel_sample(values, truth, threshold)
            for group in ("all", disease):
                self.pixels.setdefault((group, region, kind), PixelMetrics(threshold)).add(sample)
            if kind != ANOMALY_MAP:
                continue
            figures = sample_figures(sample, threshold)
            self.slices[name] = {"region": region, **{figure: figures.get(figure) for figure in SLICE_FIGURES}}
            for group in ("all", disease):
                self.clusters.setdefault((group, region), PixelClusters(self.unit)).add(cluster, sample)
                self.lesions.setdefault((group, region), LesionMetrics()).update(values, mask, within)

    def pixel_rows(self, n_resamples: int, seed: int) -> list[dict[str, Any]]:
        """Return one plain row a group, region and map; the anomaly map's carry intervals and their floor."""
        rows = [
            {"group": group, "region": region, "map": name, **metric.counts(), **metric.compute()}
            for (group, region, name), metric in sorted(self.pixels.items(), key=lambda item: item[0])
        ]
        for row in rows:
            if row["map"] != ANOMALY_MAP:
                continue
            key = row["group"], row["region"]
            found = self.clusters[key].intervals(n_resamples, seed)
            row["intervals"] = {name: value._asdict() for name, value in found.items()}
            floors = [other for other in rows if (other["group"], other["region"]) == key]
            floors = [other for other in floors if other["map"] in PixelFloors.NAMES and other["ap"] is not None]
            best = max(floors, key=lambda other: other["ap"], default=None)
            row["floor"] = best and {"map": best["map"], "ap": best["ap"], "aupro": best["aupro"]}
            row["beats_floor"] = None if best is None else row["ap"] > best["ap"]
        return rows

    def lesion_rows(self) -> list[dict[str, Any]]:
        """Return one plain row a group and region with the anomaly map's FROC."""
        return [
            {"group": group, "region": region, **metric.compute()}
            for (group, region), metric in sorted(self.lesions.items(), key=lambda item: item[0])
        ]
