"""The files of an evaluation: what each is called and what is in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anomask.cells import csv_text
from anomask.files import write_json, write_text
from anomask.report.evaluation.markdown import summary
from anomask.report.evaluation.page import page
from anomask.report.pictures import Picture, png_bytes
from anomask.report.record.figures import Evaluation
from anomask.report.record.localisation import SLICE_FIGURES
from anomask.report.record.saved import clusters_file
from anomask.report.text import RESEARCH_USE

COLUMNS = (
    "path",
    "patient",
    "lesion_donor",
    "disease",
    "label",
    "score",
    "threshold",
    "called_abnormal",
    "pixel_region",
)


def write_results(folder: Path, record: dict[str, Any], evaluation: Evaluation, pictures: Sequence[Picture]) -> None:
    """Write record.json, scores.csv, pixels_*.npz, summary.md, report.html and overlays/ into a new `folder`."""
    (folder / "overlays").mkdir()
    for picture in pictures:
        (folder / "overlays" / f"{picture.name}.png").write_bytes(png_bytes(picture.pixels))
    write_text(folder / "scores.csv", scores_csv(evaluation))
    for region in ("slice", "lung"):
        if (clusters := evaluation.pixels.clusters_of("all", region)) is not None:
            np.savez_compressed(clusters_file(folder, region), **clusters.arrays())
    write_text(folder / "summary.md", summary(record))
    write_text(folder / "report.html", page(record, pictures))
    write_json(folder / "record.json", record)


def scores_csv(evaluation: Evaluation) -> str:
    """Return one line a slice: its score, and the figures of its own map where it has a lesion mask."""
    rows, threshold = [], evaluation.threshold["threshold"]
    for s in evaluation.slices:
        label = "abnormal" if s.disease else "normal"
        pixel = evaluation.pixels.slices.get(s.name, {})
        figures = [pixel.get(name) for name in SLICE_FIGURES]
        about = [s.name, s.patient, s.lesion_donor, s.disease, label, s.score, threshold, int(s.score > threshold)]
        rows.append([*about, pixel.get("region", ""), *figures, RESEARCH_USE])
    return csv_text([*COLUMNS, *(f"pixel_{name}" for name in SLICE_FIGURES), "note"], rows)
