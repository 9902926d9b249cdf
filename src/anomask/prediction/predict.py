"""Predict new slices or volumes with a trained detector: scores, maps, lesion candidates and a page to look at."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anomask.data.loading.frame import Frame
from anomask.data.loading.inputs import Case, find_inputs, input_batch, read_cases
from anomask.data.loading.slices import to_source
from anomask.data.volumes.account import Account, table_of
from anomask.data.volumes.square import resize_to, to_square_pixels
from anomask.data.volumes.window import window_of
from anomask.errors import ConfigError, DataError, printable
from anomask.files import whole_folder
from anomask.prediction.model import Card, Model
from anomask.prediction.told import NAMES, Faults, about, volumes_of
from anomask.progress import bar
from anomask.report.prediction.files import MAPS, MARKER, Decision, PredictionWriter
from anomask.settings.schema import PredictConfig

log = logging.getLogger(__name__)

VALUES = ("hu", "grey")
FEW_LUNGS = 0.1  # a chest CT shows lung in most slices; below this share something else was given


class Predictor:
    """Turns cases into maps in their own geometry, scores, and the pixels where lesion candidates may lie.

    Args:
        model: what detects.
        batch_size: slices at once.
    """

    def __init__(self, model: Model, batch_size: int) -> None:
        self.model, self.card, self.batch_size = model, model.card, batch_size
        self.lungs: dict[str, list[bool]] = {}  # series -> whether each of its slices shows lung

    def __call__(self, case: Case) -> tuple[list[np.ndarray], list[float], list[np.ndarray]]:
        """Return maps [H, W] float32, scores, and where candidates count [H, W] bool, of each slice."""
        maps, scores, within = [], [], []
        for start in range(0, len(case.pixels), self.batch_size):
            own = case.pixels[start : start + self.batch_size]
            pixels = [to_square_pixels(one, case.spacing_mm) for one in own]
            batch = input_batch(pixels, self.card.size, self.card.crop)
            self.lungs.setdefault(case.series, []).extend(batch.lung_mask.flatten(1).any(1).tolist())
            if not self.card.within_lung or self.card.lung_masks == "given":  # as in training and evaluation
                batch = batch._replace(lung_mask=torch.ones_like(batch.lung_mask))
            found = self.model.detect(batch)
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


def predict(config: PredictConfig, model: Model) -> tuple[Path, list[str]]:
    """Predict an input and write the results; nothing is written if an error ends it.

    Args:
        config: see `conf/predict.yaml`.
        model: the detector.

    Returns:
        the folder of the results, and a line for each slice or volume that could not be used

    Raises:
        AnomaskError: nothing of the input can be used, settings that contradict each other or the model, and, where
            `strict`, the first slice or volume that cannot be used.
    """
    place, card = Path(config.input), model.card
    window = choose_window(config.window, card)
    target = Path(config.output).resolve() if config.output else model.predictions / place.resolve().name
    check(config)
    if place.is_dir() and target.is_relative_to(place.resolve()):
        raise ConfigError(f"output {target} lies in the input {place}: its pictures would be predicted the next time.")
    faults = Faults(config.strict)
    account = Account(place, faults)
    inputs = find_inputs(place, config.limit, account, config.names == "neutral")
    if inputs.slices and config.maps == "nifti":
        raise ConfigError(
            f"maps is nifti, and {place} has single slices, which have no geometry. Use auto, png or both."
        )
    predictor = Predictor(model, config.batch_size)
    what = "prediction" if config.names == "neutral" else printable(place.resolve().name)
    title = f"{what}, by {card.name}"
    counted = bar(None, "predict", "slice", len(inputs.slices), config.progress)
    with whole_folder(target, MARKER) as folder, counted:
        writer = PredictionWriter(folder, title, decision_of(card), config.maps, config.overlays, config.min_pixels)
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
        writer.close(about(config, card, window) | told)
    account.tell(table_of(target))
    return target, faults.lines


def check(config: PredictConfig) -> None:
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


def choose_window(given: Any, card: Card) -> tuple[float, float]:
    """Return the window of volumes in HU: the one that the detector's slices were prepared with, or lung.

    Args:
        given: a name or range, or None.
        card: of the detector.

    Raises:
        ConfigError: another window than the detector's is asked for.
    """
    prepared = card.window
    if prepared is None:
        return window_of("lung" if given is None else given)
    if given is not None and window_of(given) != window_of(prepared):
        raise ConfigError(
            f"window is {given}; the run was trained on slices of the window {prepared} ({card.name}). "
            "Leave window out: a detector sees another window as anomalous everywhere."
        )
    return window_of(prepared)


def decision_of(card: Card) -> Decision:
    """Return what is decided with."""
    normals = None if card.normal_scores is None else np.array(card.normal_scores)
    return Decision(card.threshold["threshold"], card.threshold["pixel"]["threshold"], normals)
