"""Pixel and lesion figures of several maps, diseases and regions, collected in one pass over the test set."""

from collections.abc import Iterator
from statistics import fmean
from typing import Any, NamedTuple

from torch import Tensor

from anomask.batches import SliceBatch
from anomask.metrics.calibration import Calibration
from anomask.metrics.histogram import check_range, joined
from anomask.metrics.lesions import LesionMetrics
from anomask.metrics.pixel import pixel_sample, pixel_truth, sample_figures
from anomask.metrics.pixel_clusters import PixelClusters
from anomask.metrics.pixel_totals import PixelTotals, total_figures
from anomask.metrics.trivial import PixelFloors
from anomask.metrics.volumes import PatientDice, surface_dice
from anomask.report.record.names import ANOMALY_MAP

SLICE_FIGURES = ("auroc", "ap", "dice")
WITH_NORMALS = ("auroc", "ap", "aupro", "oracle_dice")  # whose false positives may lie in normal slices, too


class Tested(NamedTuple):
    """What is known of a slice of the test set."""

    name: str
    patient: str  # '' where unknown
    cluster: str  # what intervals resample as a whole, '' where unknown
    disease: str  # '' for a normal slice


class Beside:
    """What the anomaly map of a disease, or of the normal slices, is counted for beside its curves."""

    def __init__(self) -> None:
        self.calibration, self.patients, self.surfaces = Calibration(), PatientDice(), []

    def add(self, values: Tensor, mask: Tensor, within: Tensor | None, threshold: float | None, patient: str) -> None:
        """Add a map [H, W] with its lesions and the pixels that count, bool."""
        counted, lesion = (values, mask) if within is None else (values[within], mask[within])
        self.calibration.add(counted.flatten().double().cpu().numpy(), lesion.flatten().cpu().numpy())
        if threshold is None:
            return
        called = values > threshold if within is None else (values > threshold) & within
        lesion = mask if within is None else mask & within
        self.surfaces += [found] if (found := surface_dice(called, lesion)) is not None else []
        if patient:
            self.patients.add(patient, called, lesion)


class PixelTally:
    """Pixel and lesion metrics over abnormal slices with a lesion mask, in the whole slice and in the lung.

    Each is counted for each disease; those of all together are their sum. `slices` holds the figures of single slices:
    in the lung where a lung mask came with the data, else in the whole slice. Normal slices are counted for themselves,
    under the disease '', and join where a figure says so.

    Args:
        threshold: the pixel threshold from validation normals, or None.
        unit: 'patient', 'lesion donor' or 'slice', what the intervals resample.
    """

    def __init__(self, threshold: float | None, unit: str) -> None:
        self.threshold, self.unit = threshold, unit
        self.beside: dict[tuple[str, str], Beside] = {}
        self.pixels: dict[tuple[str, str, str], PixelTotals] = {}
        self.lesions: dict[tuple[str, str], LesionMetrics] = {}
        self.clusters: dict[tuple[str, str], PixelClusters] = {}
        self.slices: dict[str, dict[str, Any]] = {}

    def update(self, batch: SliceBatch, maps: dict[str, Tensor], tested: list[Tested]) -> None:
        """Add a batch.

        Args:
            batch: slices with their masks.
            maps: name -> [B, 1, S, S] >= 0.
            tested: [B]
        """
        for row, about in enumerate(tested):
            if about.disease and not bool(batch.has_mask[row]):
                continue
            own = {name: values[row][None] for name, values in maps.items()}
            mask = batch.mask[row][None]
            self._update("slice", own, mask, None, about)
            if bool(batch.has_lung_mask[row]):
                self._update("lung", own, mask, batch.lung_mask[row][None], about)

    def _update(self, region: str, maps: dict[str, Tensor], mask: Tensor, within: Tensor | None, about: Tested) -> None:
        truth, disease = pixel_truth(mask, within), about.disease
        values = maps[ANOMALY_MAP]
        check_range(values)
        own_within = None if within is None else within[0, 0]
        beside = self.beside.setdefault((disease, region), Beside())
        beside.add(values[0, 0], mask[0, 0], own_within, self.threshold, about.patient)
        if not disease:
            sample = pixel_sample(values, truth)
            self.pixels.setdefault(("", region, ANOMALY_MAP), PixelTotals(self.threshold)).add(sample)
            return
        for kind, other in maps.items():
            threshold = self.threshold if kind == ANOMALY_MAP else None
            sample = pixel_sample(other, truth, threshold)
            self.pixels.setdefault((disease, region, kind), PixelTotals(threshold)).add(sample)
            if kind != ANOMALY_MAP:
                continue
            figures = sample_figures(sample, threshold)
            self.slices[about.name] = {"region": region, **{figure: figures.get(figure) for figure in SLICE_FIGURES}}
            cluster = about.cluster if self.unit != "slice" else about.name
            self.clusters.setdefault((disease, region), PixelClusters(self.unit)).add(cluster, sample)
            self.lesions.setdefault((disease, region), LesionMetrics()).update(values, mask, within)

    def clusters_of(self, group: str, region: str) -> PixelClusters | None:
        """Return the histograms of a disease or of all, or None where there are none."""
        parts = [part for (disease, own), part in self.clusters.items() if own == region and group in ("all", disease)]
        return PixelClusters.joined(parts) if parts else None

    def pixel_rows(self, n_resamples: int, seed: int) -> list[dict[str, Any]]:
        """Return one plain row a group, region and map; the anomaly map's carry intervals and their floor."""
        rows = [
            {"group": group, "region": region, "map": name, **total_figures(parts)}
            for (group, region, name), parts in _by_group(self.pixels)
        ]
        for row in rows:
            if row["map"] != ANOMALY_MAP:
                continue
            key = row["group"], row["region"]
            found = self.clusters_of(*key).intervals(n_resamples, seed)
            row["intervals"] = {name: value._asdict() for name, value in found.items()}
            row.update(self._beside(*key))
            floors = [other for other in rows if (other["group"], other["region"]) == key]
            floors = [other for other in floors if other["map"] in PixelFloors.NAMES and other["ap"] is not None]
            best = max(floors, key=lambda other: other["ap"], default=None)
            row["floor"] = best and {"map": best["map"], "ap": best["ap"], "aupro": best["aupro"]}
            row["beats_floor"] = None if best is None else row["ap"] > best["ap"]
        return rows

    def _beside(self, group: str, region: str) -> dict[str, Any]:
        """Return the anomaly map's other figures: with normal slices, of patients, of surfaces, and its calibration."""
        parts = [
            part
            for (disease, own), part in self.beside.items()
            if own == region and disease and group in ("all", disease)
        ]
        normals, totals = self.beside.get(("", region)), self.pixels.get(("", region, ANOMALY_MAP))
        both = dict.fromkeys(("n_normals", *WITH_NORMALS)) | {"n_normals": 0}
        if totals is not None:
            of_group = [
                part
                for (disease, own, kind), part in self.pixels.items()
                if (own, kind) == (region, ANOMALY_MAP) and disease and group in ("all", disease)
            ]
            found = total_figures([*of_group, totals])
            both = {"n_normals": totals.n_slices} | {name: found[name] for name in WITH_NORMALS}
        surfaces = [value for part in parts for value in part.surfaces]
        counted = [*parts, *([normals] if normals else [])]
        return {
            "with_normals": both | counted[0].calibration.figures(*(part.calibration for part in counted[1:])),
            "patient_dice": PatientDice.figures([part.patients for part in parts], normals and normals.patients),
            "surface_dice": fmean(surfaces) if surfaces else None,
        }

    def lesion_rows(self) -> list[dict[str, Any]]:
        """Return one plain row a group and region with the anomaly map's FROC."""
        return [
            {"group": group, "region": region, **joined(parts).compute()}
            for (group, region), parts in _by_group(self.lesions)
        ]


def _by_group(held: dict[tuple[str, ...], Any]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    # Those of all diseases are added up when they are asked for: a histogram has 3 MB.
    held = {key: part for key, part in held.items() if key[0]}  # without the normal slices
    groups = {("all", *rest) for _, *rest in held} | held.keys()
    for key in sorted(groups):
        yield key, [held[own] for own in sorted(held) if own[1:] == key[1:] and key[0] in ("all", own[0])]
