"""Predict new slices or volumes with a trained detector: scores, maps, lesion candidates and a page to look at."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.utilities import move_data_to_device

from anomask.build import Stage, open_stage
from anomask.data.loading.frame import Frame
from anomask.data.loading.inputs import Case, find_inputs, input_batch, read_cases
from anomask.data.loading.slices import to_source
from anomask.data.volumes.account import Account, table_of
from anomask.data.volumes.square import resize_to, to_square_pixels
from anomask.data.volumes.window import window_of
from anomask.errors import ConfigError, DataError, RunError, printable
from anomask.files import whole_folder
from anomask.prediction.told import NAMES, Faults, about, volumes_of
from anomask.progress import bar
from anomask.report.prediction.files import MAPS, MARKER, Decision, PredictionWriter
from anomask.runs.folder import Run
from anomask.settings.schema import PredictConfig
from anomask.trained import decision

log = logging.getLogger(__name__)

VALUES = ("hu", "grey")
FEW_LUNGS = 0.1  # a chest CT shows lung in most slices; below this share something else was given


class Predictor:
    """Turns cases into maps in their own geometry, scores, and the pixels where lesion candidates may lie.

    Args:
        stage: what detects; of it `detect` and `settings` are used.
        batch_size: slices at once.
        device: where.
    """

    def __init__(self, stage: Stage, batch_size: int, device: str) -> None:
        self.stage, self.batch_size, self.device = stage.to(device), batch_size, torch.device(device)
        data, scoring = stage.settings["data"], stage.settings["scoring"]
        self.size, self.within_lung = data["size"], scoring["within_lung"]
        self.lung_masks = data.get("lung_masks", "estimate")  # the phantom's settings had none once
        self.crop = data.get("crop", "none")  # runs of before it have none
        self.lungs: dict[str, list[bool]] = {}  # series -> whether each of its slices shows lung

    def __call__(self, case: Case) -> tuple[list[np.ndarray], list[float], list[np.ndarray]]:
        """Return maps [H, W] float32, scores, and where candidates count [H, W] bool, of each slice."""
        maps, scores, within = [], [], []
        for start in range(0, len(case.pixels), self.batch_size):
            own = case.pixels[start : start + self.batch_size]
            pixels = [to_square_pixels(one, case.spacing_mm) for one in own]
            batch = input_batch(pixels, self.size, self.crop)
            self.lungs.setdefault(case.series, []).extend(batch.lung_mask.flatten(1).any(1).tolist())
            if not self.within_lung or self.lung_masks == "given":  # as in training and evaluation
                batch = batch._replace(lung_mask=torch.ones_like(batch.lung_mask))
            found = move_data_to_device(self.stage.detect(move_data_to_device(batch, self.device)), torch.device("cpu"))
            frames = (Frame(*frame) for frame in batch.frame.tolist())
            for values, lung, frame, square, one in zip(
                found.anomaly_map, batch.lung_mask, frames, pixels, own, strict=True
            ):
                maps.append(resize_to(to_source(values, square.shape, frame), one.shape))
                within.append(resize_to(to_source(lung.float(), square.shape, frame), one.shape) >= 0.5)
            scores += found.score.tolist()
        return maps, scores, within

    def warn_of_lungs(self) -> None:
        """Warn where next to no slice shows lung: a map of another body part means nothing."""
        for series, seen in self.lungs.items():
            if sum(seen) < FEW_LUNGS * len(seen):
                text = "%s: lung is seen in %d of %d slices. Is it a chest CT, in the right window?"
                log.warning(text, series or "single slices", sum(seen), len(seen))


def predict(config: PredictConfig, run: Run) -> tuple[Path, list[str]]:
    """Predict an input and write the results; nothing is written if an error ends it.

    Args:
        config: see `conf/predict.yaml`.
        run: a finished detector run.

    Returns:
        the folder of the results, and a line for each slice or volume that could not be used

    Raises:
        AnomaskError: nothing of the input can be used, settings that contradict each other or the run, and, where
            `strict`, the first slice or volume that cannot be used.
    """
    place, window = Path(config.input), choose_window(config.window, run)
    target = Path(config.output).resolve() if config.output else run.prediction_folder(place.resolve().name)
    check(config, place, target)
    faults = Faults(config.strict)
    account = Account(place, faults)
    inputs = find_inputs(place, config.limit, account, config.names == "neutral")
    if inputs.slices and config.maps == "nifti":
        raise ConfigError(
            f"maps is nifti, and {place} has single slices, which have no geometry. Use auto, png or both."
        )
    predictor = Predictor(open_stage(run, config.checkpoint), config.batch_size, config.device)
    threshold, normals = decision(run, predictor.stage, config.checkpoint)
    what = "prediction" if config.names == "neutral" else printable(place.resolve().name)
    title = f"{what}, by {predictor.stage.settings['name']}"
    counted = bar(None, "predict", "slice", len(inputs.slices), config.progress)
    with whole_folder(target, MARKER) as folder, counted:
        writer = PredictionWriter(
            folder, title, decision_of(run, threshold, normals), config.maps, config.overlays, config.min_pixels
        )
        for case in read_cases(inputs, config.batch_size, window, account, config.values, config.allow_gaps):
            counted.total += 0 if case.volume is None else len(case.pixels)
            writer.add(case, *predictor(case))
            counted.update(len(case.pixels))
            del case  # before the next one is read
        if not writer.slices:
            account.say()
            raise DataError(f"nothing of {place} could be used: {len(faults.lines)} faults, see above.")
        predictor.warn_of_lungs()
        told = {"faults": faults.told(config.names), "volumes": volumes_of(inputs, writer.slices, config.names)}
        name = predictor.stage.settings["name"]
        writer.close(about(config, run, name, window, threshold) | told)
    account.tell(table_of(target))
    return target, faults.lines


def check(config: PredictConfig, place: Path, target: Path) -> None:
    """Raise a ConfigError for settings that cannot be meant."""
    if config.maps not in MAPS:
        raise ConfigError(f"maps is {config.maps!r}; use one of {', '.join(MAPS)}.")
    if config.values not in VALUES:
        raise ConfigError(f"values is {config.values!r}; use one of {', '.join(VALUES)}.")
    if config.names not in NAMES:
        raise ConfigError(f"names is {config.names!r}; use one of {', '.join(NAMES)}.")
    for name, least in (("batch_size", 1), ("min_pixels", 1), ("limit", 1)):
        value = getattr(config, name)
        if value is not None and value < least:
            raise ConfigError(f"{name} is {value}; at least {least} is wanted.")
    if place.is_dir() and target.is_relative_to(place.resolve()):
        raise ConfigError(f"output {target} lies in the input {place}: its pictures would be predicted the next time.")


def choose_window(given: Any, run: Run) -> tuple[float, float]:
    """Return the window of volumes in HU: the one that the run's slices were prepared with, or lung.

    Args:
        given: a name or range, or None.
        run: its fingerprint.json says how its slices were prepared, where `anomask prepare` made them.

    Raises:
        ConfigError: another window than the run's is asked for.
    """
    preparation = (run.read_fingerprint() or {}).get("preparation") or {}  # null where someone else made the slices
    prepared = (preparation.get("common") or {}).get("window")
    if prepared is None:
        return window_of("lung" if given is None else given)
    if given is not None and window_of(given) != window_of(prepared):
        raise ConfigError(
            f"window is {given}; the run was trained on slices of the window {prepared} ({run.fingerprint_file}). "
            "Leave window out: a detector sees another window as anomalous everywhere."
        )
    return window_of(prepared)


def decision_of(run: Run, threshold: dict[str, Any], normals: list[float] | None) -> Decision:
    """Return what is decided with.

    Args:
        run: for the error.
        threshold: see `anomask.trained.decision`.
        normals: scores of the validation normals, or None.

    Raises:
        RunError: there is no threshold for pixels.
    """
    if "pixel" not in threshold:
        raise RunError(
            f"{run.threshold_file} has no threshold for pixels: an old version wrote it. Train the run again."
        )
    return Decision(
        threshold["threshold"], threshold["pixel"]["threshold"], None if normals is None else np.array(normals)
    )
