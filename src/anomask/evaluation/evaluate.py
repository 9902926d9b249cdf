"""Evaluate a trained detector: open its run folder, score a test set once, write the result record."""

import gc
import logging
import sys
import time
from pathlib import Path
from typing import Any

from anomask.batches import SliceBatch
from anomask.build import Stage, open_stage
from anomask.data.checks.learned import seen_before
from anomask.data.folder.findings import raise_first
from anomask.data.loading.datamodule import SliceDataModule
from anomask.errors import ConfigError, RunError
from anomask.evaluation.about import about_run
from anomask.evaluation.floors import find_floors
from anomask.evaluation.seen import Slices, detect, open_slices
from anomask.files import whole_folder
from anomask.metrics.bootstrap import cluster_names, clusters_of
from anomask.metrics.floors import Floors
from anomask.metrics.trivial import trivial_features
from anomask.progress import bar, spoken
from anomask.quiet import quieten
from anomask.report.evaluation.choice import choose_pictures
from anomask.report.evaluation.files import write_results
from anomask.report.evaluation.markdown import brief
from anomask.report.pictures import Picture, to_pixels, write_map
from anomask.report.record.figures import Evaluation, ScoredSlice, build_record
from anomask.report.record.localisation import PixelTally, Tested
from anomask.report.record.names import ANOMALY_MAP
from anomask.runs.evaluations import evaluation_place
from anomask.runs.folder import Run
from anomask.runs.next_command import after_evaluation, say_next
from anomask.scoring.colour import grey, heat, outline, overlay, paint
from anomask.settings.schema import EvaluateConfig
from anomask.trained import decision

log = logging.getLogger(__name__)

TRACKING = ("off", "offline", "online")


def score(
    stage: Stage,
    data: Slices,
    threshold: dict[str, Any],
    floors: Floors,
    maps_folder: Path | None,
    progress: bool,
) -> Evaluation:
    """Score every test slice once.

    Args:
        stage: the detector.
        data: where the test slices come from.
        threshold: of the run, from validation normals.
        floors: fixed on training normals.
        maps_folder: where the maps go as 16-bit PNG, or None.
        progress: whether to show a progress bar.
    """
    records = data.whole.test_set.records
    clusters, unit = cluster_names([r.patient for r in records], [r.lesion_donor for r in records])
    unit = clusters_of(clusters, unit)[1]
    tally, slices = PixelTally(threshold.get("pixel", {}).get("threshold"), unit), []
    loaders = (part.test_dataloader() for part in data)
    for batch, seen in bar(zip(*loaders, strict=True), "evaluate", "batch", wanted=progress):
        rows = batch.index.tolist()
        own = [records[row] for row in rows]
        scores, found = detect(stage, seen)
        maps = found | floors.maps(batch.image)
        tested = [Tested(r.name, r.patient, clusters[row], r.disease) for r, row in zip(own, rows, strict=True)]
        tally.update(batch, maps, tested)
        features = trivial_features(batch.image).tolist()
        for record, value, trivial in zip(own, scores.tolist(), features, strict=True):
            known = record.name, record.patient, record.disease, value, tuple(trivial), record.lesion_donor
            slices.append(ScoredSlice(*known))
        if maps_folder is not None:
            for record, anomaly_map in zip(own, maps[ANOMALY_MAP], strict=True):
                write_map(maps_folder / record.name, anomaly_map)
    return Evaluation(slices, floors.features, tally, threshold)


def draw(stage: Stage, data: Slices, chosen: dict[str, str], evaluation: Evaluation) -> list[Picture]:
    """Detect the chosen slices again and lay their maps over them."""
    scale = min(2 * evaluation.threshold["threshold"], 1.0)  # maps end at 1
    scores = {scored.name: scored.score for scored in evaluation.slices}
    pictures = []
    for row, record in enumerate(data.whole.test_set.records):
        if record.name not in chosen:
            continue
        batch, seen = (SliceBatch(*(part[None] for part in one.test_set[row])) for one in data)
        image, anomaly_map = batch.image[0, 0], detect(stage, seen)[1][ANOMALY_MAP][0, 0]
        outlined = paint(grey(image), outline(batch.mask[0, 0]), (0.1, 1.0, 0.3))
        panel = [grey(image), outlined, heat(anomaly_map / scale), overlay(image, anomaly_map, scale)]
        caption = f"{record.name}: score {scores[record.name]:.4g} ({chosen[record.name]})"
        pictures.append(Picture(record.name, caption, to_pixels(panel)))
    order = list(chosen)
    return sorted(pictures, key=lambda picture: order.index(picture.slice_name))


def evaluate(config: EvaluateConfig, run: Run) -> Path:
    """Score the test set of a detector run and write the results into its folder.

    Args:
        config: see `conf/evaluate.yaml`.
        run: a finished detector run.

    Returns:
        the folder of the results

    Raises:
        AnomaskError: run, data or settings that cannot be used; or another evaluation came to the same folder first.
    """
    if config.wandb not in TRACKING:
        raise ConfigError(f"wandb is {config.wandb!r}; use one of {', '.join(TRACKING)}.")
    quieten()
    if config.wandb != "off":
        from anomask.tracking.client import require_names

        require_names(project=config.wandb_project)
    stage = open_stage(run, config.checkpoint).to(config.device)
    changes = {"batch_size": config.batch_size, "progress": config.progress, "augment": None}
    data = open_slices(stage.settings, config.folder, **changes)
    require_unseen(run, data.whole)
    floors, floors_from = find_floors(data.whole, stage, run)
    about_data = data.whole.folder, data.whole.fingerprint(), config.checkpoint, config.name
    folder = evaluation_place(run, *about_data)
    threshold, _ = decision(run, stage, config.checkpoint)
    start = time.perf_counter()
    with whole_folder(folder, marker=None) as new:
        maps_folder = new / "maps" if config.maps else None
        evaluation = score(stage, data, threshold, floors, maps_folder, config.progress)
        log.info("%d slices in %.0f s", len(evaluation.slices), time.perf_counter() - start)
        about = about_run(stage, data.seen, run, config.checkpoint) | {"floors_from": floors_from}
        record = build_record(evaluation, about, config.bootstrap, config.seed)
        pictures = draw(stage, data, choose_pictures(evaluation.slices, config.pictures), evaluation)
        if evaluation_place(run, *about_data) != folder:
            raise RunError(
                f"{folder} was written by another evaluation in the meantime, of data of the same name. Start this one "
                "again: it gets a folder of its own."
            )
        write_results(new, record, evaluation, pictures)
    gc.collect()  # metrics hold themselves: their histograms would stay for the next evaluation of this process
    if config.wandb != "off":
        from anomask.tracking.evaluation import log_evaluation  # W&B takes a second to import

        log_evaluation(record, evaluation, pictures, run, config.wandb == "offline", config.wandb_project)
    sys.stdout.write(brief(record))
    log.info("%s in all. Look at: %s", spoken(time.perf_counter() - start), folder / "report.html")
    say_next(*after_evaluation(run))
    return folder


def require_unseen(run: Run, data: SliceDataModule) -> None:
    """Refuse test slices that the run learned from; warn of patients of the same names.

    Raises:
        SplitError: a test slice that it learned from.
    """
    test = data.test_set.records
    findings = seen_before(run.training_slices_file, test, data.slice_hashes(test))
    raise_first(findings)
    for finding in findings:
        log.warning("%s %s", finding.message, finding.remedy)
