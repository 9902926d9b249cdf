"""Pixel and lesion figures of several maps, diseases and regions, collected in one pass over the test set."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torchmetrics import Metric

from anomask.batches import SliceBatch
from anomask.metrics.histogram import joined
from anomask.metrics.lesions import LesionMetrics
from anomask.metrics.pixel import PixelMetrics, pixel_sample, pixel_truth, sample_figures
from anomask.metrics.pixel_clusters import PixelClusters
from anomask.metrics.trivial import PixelFloors
from anomask.report.record.names import ANOMALY_MAP

SLICE_FIGURES = ("auroc", "ap", "dice")


class PixelTally:
    """Pixel and lesion metrics over abnormal slices with a lesion mask, in the whole slice and in the lung.

    Each is counted for each disease; those of all together are their sum. `slices` holds the figures of single slices:
    in the lung where a lung mask came with the data, else in the whole slice.

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
            self.pixels.setdefault((disease, region, kind), PixelMetrics(threshold)).add(sample)
            if kind != ANOMALY_MAP:
                continue
            figures = sample_figures(sample, threshold)
            self.slices[name] = {"region": region, **{figure: figures.get(figure) for figure in SLICE_FIGURES}}
            self.clusters.setdefault((disease, region), PixelClusters(self.unit)).add(cluster, sample)
            self.lesions.setdefault((disease, region), LesionMetrics()).update(values, mask, within)

    def clusters_of(self, group: str, region: str) -> PixelClusters | None:
        """Return the histograms of a disease or of all, or None where there are none."""
        parts = [part for (disease, own), part in self.clusters.items() if own == region and group in ("all", disease)]
        return PixelClusters.joined(parts) if parts else None

    def pixel_rows(self, n_resamples: int, seed: int) -> list[dict[str, Any]]:
        """Return one plain row a group, region and map; the anomaly map's carry intervals and their floor."""
        rows = [
            {"group": group, "region": region, "map": name, **metric.counts(), **metric.compute()}
            for (group, region, name), metric in _by_group(self.pixels)
        ]
        for row in rows:
            if row["map"] != ANOMALY_MAP:
                continue
            key = row["group"], row["region"]
            found = self.clusters_of(*key).intervals(n_resamples, seed)
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
            for (group, region), metric in _by_group(self.lesions)
        ]


def _by_group(held: dict[tuple[str, ...], Metric]) -> Iterator[tuple[tuple[str, ...], Metric]]:
    # Those of all diseases are made when they are asked for: a histogram has 3 MB.
    groups = {("all", *rest) for _, *rest in held} | held.keys()
    for key in sorted(groups):
        yield key, joined([held[own] for own in sorted(held) if own[1:] == key[1:] and key[0] in ("all", own[0])])
