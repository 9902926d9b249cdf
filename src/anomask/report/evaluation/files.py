"""The files of an evaluation: what each is called and what is in it."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anomask.files import write_json, write_text
from anomask.report.evaluation.markdown import summary
from anomask.report.evaluation.page import page
from anomask.report.pictures import Picture, png_bytes
from anomask.report.record.figures import Evaluation
from anomask.report.record.localisation import SLICE_FIGURES
from anomask.report.record.saved import clusters_file

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
        if ("all", region) in evaluation.pixels.clusters:
            np.savez_compressed(clusters_file(folder, region), **evaluation.pixels.clusters["all", region].arrays())
    write_text(folder / "summary.md", summary(record))
    write_text(folder / "report.html", page(record, pictures))
    write_json(folder / "record.json", record)


def scores_csv(evaluation: Evaluation) -> str:
    """Return one line a slice: its score, and the figures of its own map where it has a lesion mask."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    threshold = evaluation.threshold["threshold"]
    writer.writerow([*COLUMNS, *(f"pixel_{name}" for name in SLICE_FIGURES)])
    for s in evaluation.slices:
        label = "abnormal" if s.disease else "normal"
        pixel = evaluation.pixels.slices.get(s.name, {})
        figures = ["" if pixel.get(name) is None else repr(pixel[name]) for name in SLICE_FIGURES]
        about = [s.name, s.patient, s.lesion_donor, s.disease, label]
        about += [repr(s.score), repr(threshold), int(s.score > threshold)]
        writer.writerow([*about, pixel.get("region", ""), *figures])
    return stream.getvalue()
