"""Evaluate a trained detector: open its run folder, score a test set once, write the result record."""

import csv
import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities import move_data_to_device
from torch import Tensor
from tqdm import tqdm

from anomask.build import build_data, open_stage
from anomask.config import CONF_FOLDER, EvaluateConfig, register
from anomask.data.datamodule import SliceDataModule
from anomask.entry import user_errors
from anomask.files import whole_file, write_json, write_text
from anomask.metrics.trivial import trivial_features
from anomask.report.localisation import ANOMALY_MAP, PixelTally
from anomask.report.markdown import summary
from anomask.report.page import Picture, page, png_bytes, to_pixels
from anomask.report.record import Evaluation, ScoredSlice, build_record
from anomask.runs import Run, find_run
from anomask.scoring.anomaly_map import smooth
from anomask.scoring.colour import grey, heat, outline, overlay, paint
from anomask.stages.detector import DetectorStage
from anomask.types import Detection, SliceBatch

log = logging.getLogger(__name__)
register()

FLOOR_SIGMA = 2.0  # pixels; the smoothed-intensity floor


def maps_of(stage: DetectorStage, image: Tensor, detection: Detection) -> dict[str, Tensor]:
    """Return the anomaly map, its two factors and the smoothed-intensity floor, each [B, 1, S, S]."""
    return {
        ANOMALY_MAP: detection.anomaly_map,
        "residual": stage.scorer.anomaly_map.residual_map(image, detection.restoration),
        "probability": stage.scorer.anomaly_map.probability_map(detection.probability, image.shape[-1]),
        "smoothed intensity": smooth(image, FLOOR_SIGMA),
    }


def detections(
    stage: DetectorStage, data: SliceDataModule, progress: bool
) -> Iterator[tuple[SliceBatch, Detection, list[int]]]:
    """Yield batches of the test set with their detections and rows, everything on the CPU."""
    loader = data.test_dataloader()
    for batch in tqdm(loader, desc="evaluate", unit="batch", disable=not progress):
        found = stage.detect(move_data_to_device(batch, stage.device))
        yield batch, move_data_to_device(found, torch.device("cpu")), batch.index.tolist()


def score(stage: DetectorStage, data: SliceDataModule, threshold: dict[str, Any], progress: bool) -> Evaluation:
    """Score every test slice once."""
    tally, slices = PixelTally(), []
    for batch, found, rows in detections(stage, data, progress):
        records = [data.test_set.records[row] for row in rows]
        tally.update(batch, maps_of(stage, batch.image, found), [record.disease for record in records])
        features = trivial_features(batch.image).tolist()
        for record, value, trivial in zip(records, found.score.tolist(), features, strict=True):
            slices.append(ScoredSlice(record.name, record.patient, record.disease, value, tuple(trivial)))
    normals = [trivial_features(batch.image) for batch in data.ordered_loader(data.train_set)]
    return Evaluation(slices, torch.cat(normals).numpy(), tally.rows(), threshold)


def choose_pictures(evaluation: Evaluation, count: int) -> dict[str, str]:
    """Choose slices worth a look: the worst misses and false alarms, then slices of each disease by turns.

    Returns:
        name -> why it was chosen
    """
    ranked = sorted(evaluation.slices, key=lambda scored: scored.score)
    chosen: dict[str, str] = {}
    for scored in [s for s in ranked if s.disease][: count // 4]:
        chosen[scored.name] = "lowest score of the abnormal slices"
    for scored in [s for s in ranked if not s.disease][::-1][: count // 4]:
        chosen[scored.name] = "highest score of the normal slices"
    diseases = sorted({s.disease for s in ranked})
    queues = {disease: [s for s in ranked if s.disease == disease and s.name not in chosen] for disease in diseases}
    while len(chosen) < count and any(queues.values()):
        for disease, queue in queues.items():
            if queue and len(chosen) < count:
                chosen[queue.pop(len(queue) // 2).name] = "median score of " + (disease or "normal")
    return chosen


def draw(stage: DetectorStage, data: SliceDataModule, chosen: dict[str, str], evaluation: Evaluation) -> list[Picture]:
    """Detect the chosen slices again and lay their maps over them."""
    scale = 2 * evaluation.threshold["threshold"]
    scores = {scored.name: scored.score for scored in evaluation.slices}
    pictures = []
    for row, record in enumerate(data.test_set.records):
        if record.name not in chosen:
            continue
        batch = SliceBatch(*(part[None] for part in data.test_set[row]))
        found = stage.detect(move_data_to_device(batch, stage.device))
        image, anomaly_map = batch.image[0, 0], found.anomaly_map[0, 0].cpu()
        outlined = paint(grey(image), outline(batch.mask[0, 0]), (0.1, 1.0, 0.3))
        panel = [grey(image), outlined, heat(anomaly_map / scale), overlay(image, anomaly_map, scale)]
        caption = f"{record.name}: score {scores[record.name]:.4g} ({chosen[record.name]})"
        pictures.append(Picture(record.name.replace("/", "_").removesuffix(".png"), caption, to_pixels(panel)))
    order = list(chosen)
    return sorted(pictures, key=lambda p: order.index(p.caption.split(": score")[0]))


def write_results(folder: Path, record: dict[str, Any], evaluation: Evaluation, pictures: list[Picture]) -> None:
    """Write record.json, scores.csv, summary.md, report.html and overlays/ into `folder`."""
    for picture in pictures:
        with whole_file(folder / "overlays" / f"{picture.name}.png") as file:
            file.write_bytes(png_bytes(picture.pixels))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    threshold = evaluation.threshold["threshold"]
    writer.writerow(["path", "patient", "disease", "label", "score", "threshold", "called_abnormal"])
    for s in evaluation.slices:
        label = "abnormal" if s.disease else "normal"
        writer.writerow([s.name, s.patient, s.disease, label, repr(s.score), repr(threshold), int(s.score > threshold)])
    write_text(folder / "scores.csv", stream.getvalue())
    write_text(folder / "summary.md", summary(record))
    write_text(folder / "report.html", page(record, pictures))
    write_json(folder / "record.json", record)


def current_commit() -> str | None:
    """Return the commit of the code that runs, or None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def evaluate(config: EvaluateConfig, run: Run) -> Path:
    """Score the test set of a detector run and write the results into its folder.

    Args:
        config: see `conf/evaluate.yaml`.
        run: a finished detector run.

    Returns:
        the folder of the results
    """
    stage = open_stage(run, config.checkpoint).to(config.device)
    changes = {"batch_size": config.batch_size, "progress": config.progress}
    data = build_data(stage.settings, folder=config.folder, **changes)
    data.prepare_data()
    data.setup()
    evaluation = score(stage, data, run.read_threshold(), config.progress)
    settings = {name: stage.settings[name] for name in ("model", "synthesiser", "loss", "scoring", "stage")}
    about = {
        "run": stage.settings["name"],
        "seed": stage.settings["seed"],
        "settings": settings,
        "checkpoint": config.checkpoint,
        "commit": current_commit(),
        "data": data.folder.name,
        "fingerprint": data.fingerprint(),
        "synthetic": data.synthetic,
        "size": data.size,
    }
    record = build_record(evaluation, about, config.bootstrap, config.seed)
    pictures = draw(stage, data, choose_pictures(evaluation, config.pictures), evaluation)
    folder = run.evaluation_folder(config.name or data.folder.name)
    write_results(folder, record, evaluation, pictures)
    sys.stdout.write(summary(record))
    log.info("results: %s (look at report.html)", folder)
    return folder


@hydra.main(version_base="1.3", config_path=str(CONF_FOLDER), config_name="evaluate")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/evaluate.yaml and the command line, and evaluate."""
    with user_errors():
        evaluate(config, find_run(config.run, config.runs, "detector"))


if __name__ == "__main__":
    main()
