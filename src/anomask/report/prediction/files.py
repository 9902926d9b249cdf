"""The files of a prediction: what each is called and what is in it."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from PIL import Image

from anomask.cells import csv_text
from anomask.data.loading.inputs import Case
from anomask.data.volumes.formats import to_source_geometry
from anomask.files import write_json, write_text
from anomask.report.pictures import to_pixels, write_map
from anomask.report.prediction.candidates import Candidate, boxes_on_slice, find_candidates
from anomask.report.prediction.viewer import Found, Viewer
from anomask.report.text import RESEARCH_USE
from anomask.scoring.colour import overlay

log = logging.getLogger(__name__)

MARKER = "prediction.json"
MAPS = ("auto", "png", "nifti", "both", "none")
PLACES = ("peak", "centroid")


@dataclass(frozen=True)
class Decision:
    """A run's thresholds, all from validation normals."""

    score: float  # a slice is called abnormal if its score is greater
    pixel: float  # a pixel belongs to a lesion candidate if its map value is greater
    normal_scores: np.ndarray | None = None  # sorted; None where the run does not keep them

    @property
    def full_colour(self) -> float:
        """Map value at which colours are full, the same in all pictures; as in an evaluation's report."""
        return 2 * self.score

    def percentile(self, score: float) -> float | None:
        """Return the percentage of validation normals that score at most as high."""
        if self.normal_scores is None:
            return None
        return 100 * float(np.searchsorted(self.normal_scores, score, side="right")) / len(self.normal_scores)


class PredictionWriter:
    """Writes maps, overlays and pages case by case, the tables at the end.

    Args:
        folder: where everything goes; empty.
        title: of the pages.
        decision: the run's thresholds.
        maps: one of `MAPS`; auto is PNG for loose slices and NIfTI for volumes.
        overlays: whether to write overlays as PNG; the pages have their own.
        min_pixels: smaller lesion candidates are left out.
    """

    def __init__(
        self, folder: Path, title: str, decision: Decision, maps: str, overlays: bool, min_pixels: int
    ) -> None:
        self.folder, self.decision, self.maps = folder, decision, maps
        self.overlays, self.min_pixels = overlays, min_pixels
        self.viewer = Viewer(folder, title, decision.score, decision.pixel, decision.full_colour)
        self.slices: list[dict[str, Any]] = []
        self.candidates: list[tuple[str, str, Candidate]] = []  # file, series, candidate
        self.highest = 0.0

    def add(
        self, case: Case, maps: Sequence[np.ndarray], scores: Sequence[float], within: Sequence[np.ndarray]
    ) -> None:
        """Write a case.

        Args:
            case: what was predicted.
            maps: of each slice, [H, W] float32 in its own geometry.
            scores: of each slice.
            within: of each slice, [H, W] bool: where lesion candidates may lie.
        """
        found = self._find(case, maps, within)
        png = self.maps in ("png", "both") or (self.maps == "auto" and case.volume is None)
        names = [Path(name) for name in case.files]
        if case.volume is not None:
            names = [Path(case.series) / f"{index:04d}.png" for index in range(len(maps))]
            if self.maps in ("auto", "nifti", "both"):
                file = self.folder / "maps" / f"{case.series}.nii.gz"
                file.parent.mkdir(parents=True, exist_ok=True)
                nib.save(to_source_geometry(case.volume, np.stack(maps)), file)
        for index, (name, score) in enumerate(zip(names, scores, strict=True)):
            if png:
                write_map(self.folder / "maps" / as_png(name), torch.from_numpy(maps[index])[None])
                self.highest = max(self.highest, float(maps[index].max()))
            self._add_slice(case, index, maps[index], score, found[index], as_png(name))

    def _find(self, case: Case, maps: Sequence[np.ndarray], within: Sequence[np.ndarray]) -> list[Found]:
        # A candidate of a volume is found once and shown on every slice that it reaches.
        threshold, least = self.decision.pixel, self.min_pixels
        if case.volume is None:
            each = [find_candidates(values * mask, threshold, least) for values, mask in zip(maps, within, strict=True)]
            self.candidates += [(file, "", one) for file, own in zip(case.files, each, strict=True) for one in own[0]]
        else:
            spacing_mm, affine = case.volume.spacing_mm, case.volume.affine
            whole = np.stack(maps)
            for values, mask in zip(whole, within, strict=True):
                np.multiply(values, mask, out=values)
            candidates, labels = find_candidates(whole, threshold, least, spacing_mm, affine)
            self.candidates += [(case.files[0], case.series, one) for one in candidates]
            each = [(candidates, on_slice) for on_slice in labels]
        return [
            [(candidates[number - 1], box) for number, box in boxes_on_slice(labels).items()]
            for candidates, labels in each
        ]

    def _add_slice(self, case: Case, index: int, values: np.ndarray, score: float, found: Found, name: Path) -> None:
        row = None if case.volume is None else index
        abnormal, percentile = score > self.decision.score, self.decision.percentile(score)
        about = {"file": case.files[index], "series": case.series, "slice": row, "score": score}
        about |= {"threshold": self.decision.score, "called_abnormal": int(abnormal)}
        about |= {} if percentile is None else {"percentile": percentile}
        self.slices.append(about | {"candidates": len(found)})
        if self.overlays:
            image = torch.from_numpy(case.pixels[index] / np.float32(255))
            picture = overlay(image, torch.from_numpy(values), self.decision.full_colour)
            file = self.folder / "overlays" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(to_pixels([picture])).save(file, compress_level=1)  # smallest PNG takes ten times as long
        shown = case.files[index] if row is None else f"{case.series}, slice {row}"
        self.viewer.add(shown, case.pixels[index], values, score, percentile, found)

    def close(self, about: dict[str, Any]) -> None:
        """Write the last page, the candidates, prediction.json (with `about`) and, last, scores.csv."""
        if self.highest > 1:
            log.warning("map values reach %.3g; a PNG map holds at most 1 and was cut off there.", self.highest)
        self.viewer.close()
        ranked = sorted(self.candidates, key=lambda item: -item[-1].peak)  # stable: the order of the input stays
        rows = [candidate_row(rank, *item) for rank, item in enumerate(ranked, 1)]
        write_text(self.folder / "candidates.csv", to_csv(rows, candidate_row(0, "", "", NOWHERE)))
        full = [{"file": file, "series": series, **asdict(one)} for file, series, one in ranked]
        write_json(self.folder / "candidates.json", full)
        counts = {"slices": len(self.slices), "candidates": len(rows)}
        counts["called_abnormal"] = sum(row["called_abnormal"] for row in self.slices)
        write_json(self.folder / MARKER, about | {"counts": counts})
        write_text(self.folder / "scores.csv", to_csv(self.slices, self.slices[0]))


def as_png(name: Path) -> Path:
    """Name the PNG of a slice; a slice that is no PNG keeps its suffix, as another one may have the same stem."""
    return name if name.suffix.lower() == ".png" else name.with_name(f"{name.name}.png")


NOWHERE = Candidate(0, (0, 0), (0, 0), ((0, 0), (0, 0)), 0, 0, "", None)  # its row names the columns of an empty table


def candidate_row(rank: int, file: str, series: str, one: Candidate) -> dict[str, Any]:
    """Lay a candidate out as one line of candidates.csv; what a loose slice does not have stays empty."""
    row = {"rank": rank, "file": file, "series": series, "peak": one.peak}
    for name, place in zip(PLACES, (one.peak_at, one.centroid), strict=True):
        in_volume = place if len(place) == 3 else (None, *place)
        row |= {f"{name}_{axis}": value for axis, value in zip(("slice", "row", "column"), in_volume, strict=True)}
    box = one.box if len(one.box) == 3 else ((None, None), *one.box)
    for axis, (first, last) in zip(("slice", "row", "column"), box, strict=True):
        row |= {f"first_{axis}": first, f"last_{axis}": last}
    row |= {"pixels": one.n_pixels, "size": one.size, "unit": one.unit, "area_mm2": one.area_mm2}
    for name, place in zip(PLACES, (one.peak_mm, one.centroid_mm), strict=True):
        row |= {f"{name}_{axis}_mm": value for axis, value in zip("xyz", place or (None,) * 3, strict=True)}
    return row


def to_csv(rows: Iterable[dict[str, Any]], like: dict[str, Any]) -> str:
    """Return rows as CSV with the columns of `like` and the note on research use."""
    return csv_text([*like, "note"], ([*(row[name] for name in like), RESEARCH_USE] for row in rows))
