"""The files of an evaluation: what each is called and what is in it."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from anomask.files import whole_file, write_json, write_text
from anomask.report.localisation import SLICE_FIGURES
from anomask.report.markdown import summary
from anomask.report.page import Picture, page, png_bytes
from anomask.report.record import Evaluation
from anomask.report.saved import clusters_file

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
FULL_SCALE = 65535  # of a 16-bit map, a map value of 1


def write_results(folder: Path, record: dict[str, Any], evaluation: Evaluation, pictures: Sequence[Picture]) -> None:
    """Write record.json, scores.csv, pixels_*.npz, summary.md, report.html and overlays/ into `folder`.

    record.json comes last: where it stands, the others are whole.
    """
    for picture in pictures:
        with whole_file(folder / "overlays" / f"{picture.name}.png") as file:
            file.write_bytes(png_bytes(picture.pixels))
    write_text(folder / "scores.csv", scores_csv(evaluation))
    for region in ("slice", "lung"):
        if ("all", region) in evaluation.pixels.clusters:
            with whole_file(clusters_file(folder, region)) as file:
                np.savez_compressed(file, **evaluation.pixels.clusters["all", region].arrays())
        else:  # an earlier evaluation's would be compared
            clusters_file(folder, region).unlink(missing_ok=True)
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


def write_map(file: Path, anomaly_map: Tensor) -> None:
    """Write a map [1, S, S] in [0, 1] as 16-bit PNG; `FULL_SCALE` is 1."""
    values = (anomaly_map[0].clamp(0, 1) * FULL_SCALE).round().numpy().astype(np.uint16)
    with whole_file(file) as temporary:
        Image.fromarray(values).save(temporary)
