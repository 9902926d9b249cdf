"""From settings to objects: the one place where Hydra's `instantiate` meets the stages."""

import inspect
from typing import Any

import torch
from hydra.utils import get_class, instantiate
from pytorch_lightning import LightningDataModule

from anomask.data.loading.datamodule import SliceDataModule
from anomask.errors import ConfigError, RunError, find_user_error
from anomask.models.detector import Detector
from anomask.models.pixel_detector import PixelDetector
from anomask.models.vqvae import VQVAE
from anomask.runs.codebook import load_codebook
from anomask.runs.folder import Run
from anomask.scoring.scorer import Scorer
from anomask.settings.targets import checked
from anomask.stages.baseline import BaselineStage
from anomask.stages.codebook import CodebookStage
from anomask.stages.corruption import Corrupter
from anomask.stages.detector import DetectorStage
from anomask.stages.features import FrozenFeatureSource
from anomask.stages.pixels import PixelDetectorStage

Settings = dict[str, Any]
Stage = CodebookStage | DetectorStage | PixelDetectorStage | BaselineStage


def build_data(settings: Settings, folder: str | None = None, **changes: Any) -> LightningDataModule:
    """Build the data module; the global batch is split over processes and accumulation steps.

    Args:
        settings: a run's settings.
        folder: another data folder than the settings' own, or None.
        changes: constructor arguments that replace the settings' own.

    Raises:
        ConfigError: the batch does not divide.
    """
    trainer, size = settings["trainer"], settings["data"]["batch_size"]
    parts = trainer["devices"] * trainer["num_nodes"] * trainer["accumulate_grad_batches"]
    if size % parts:
        raise ConfigError(
            f"data.batch_size {size} (of all processes together) is not a multiple of devices x nodes x accumulation "
            f"= {parts}. Use {max(1, size // parts) * parts} or another device."
        )
    chosen = {**settings["data"], "batch_size": size // parts, **changes}
    if folder is not None:
        accepted = inspect.signature(SliceDataModule).parameters
        chosen = {name: value for name, value in chosen.items() if name in accepted} | {"folder": folder}
        return SliceDataModule(**chosen)
    return instantiate(chosen, _convert_="all")


def build_vqvae(settings: Settings) -> VQVAE:
    """Build the VQ-VAE with fresh weights.

    Raises:
        ConfigError: the model has no codebook.
    """
    model = settings["model"]
    if not model["quantiser"]:
        raise ConfigError("this model has no codebook (model.quantiser is null). Use model=small or model=paper.")
    parts = (instantiate(model[name], _convert_="all") for name in ("encoder", "quantiser", "decoder"))
    return VQVAE(*parts, size=settings["data"]["size"])


def needs_codebook(settings: Settings) -> bool:
    """Say whether a run stands on a trained codebook.

    Detectors of tokens do (the paper's), those of pixels where they have its view, comparison methods that take a
    `vqvae`.
    """
    if settings["stage"]["name"] == "baseline":
        return "vqvae" in inspect.signature(get_class(_method(settings)["_target_"])).parameters
    model = settings["model"]
    return settings["stage"]["name"] == "detector" and not (model.get("network") and not model["view"])


def build_stage(settings: Settings, codebook: Run | None = None, to_train: bool = True) -> Stage:
    """Build the stage that the settings name, with fresh weights or on top of a codebook run.

    Args:
        settings: a run's settings; those of a saved run through `anomask.settings.targets.checked`.
        codebook: the run whose codebook is taken; None leaves it to a checkpoint that is loaded later.
        to_train: whether it gets an optimiser.
    """
    optimisation = instantiate(settings["stage"]["optimisation"], _convert_="all") if to_train else None
    if settings["stage"]["name"] == "baseline":
        return _build_baseline(settings, optimisation, codebook)
    if settings["stage"]["name"] == "detector" and settings["model"].get("network"):
        return _build_pixel_detector(settings, optimisation, codebook)
    vqvae, seed = build_vqvae(settings), settings["seed"]
    if settings["stage"]["name"] == "codebook":
        loss = instantiate(settings["loss"]["codebook"])
        return CodebookStage(vqvae, loss, optimisation, seed, settings)
    if codebook is not None:
        load_codebook(vqvae, settings, codebook)
    detector = _build_detector(settings, vqvae)
    synthesiser = settings["synthesiser"]
    features = FrozenFeatureSource(vqvae, instantiate(synthesiser["salience"]))
    loss = instantiate(settings["loss"]["detector"])
    return DetectorStage(
        detector,
        _build_corrupter(synthesiser, vqvae),
        features,
        loss,
        None if detector.refiner is None else instantiate(settings["loss"]["pixel"]),
        build_scorer(settings),
        optimisation,
        seed,
        settings,
    )


def build_scorer(settings: Settings) -> Scorer:
    """Build map and score."""
    scoring = {name: value for name, value in settings["scoring"].items() if "specificity" not in name}
    return Scorer(**{name: instantiate(value) if isinstance(value, dict) else value for name, value in scoring.items()})


def open_stage(run: Run, checkpoint: str) -> Stage:
    """Rebuild a trained stage from its run folder alone, in eval mode, without what trained it.

    Raises:
        RunError: the run names classes that a saved run may not name, or its checkpoint cannot be used.
    """
    checked(run.read_settings(), run.settings_file)
    loaded, file = run.load_checkpoint(checkpoint), run.checkpoint_file(checkpoint)
    settings = checked(loaded["settings"], file)
    try:
        return with_weights(settings, loaded["state_dict"])
    except Exception as error:  # whatever classes raise that are made of settings and weights of another version
        if find_user_error(error) is not None:
            raise
        said = " ".join(str(error.__cause__ or error).split())
        raise RunError(
            f"{file} cannot be opened ({type(error).__name__}: {said}): its settings and weights are damaged or of "
            "another version. Train the run again."
        ) from error


def with_weights(settings: Settings, weights: dict[str, Any]) -> Stage:
    """Build a stage for detection alone, in eval mode.

    Args:
        settings: as in `build_stage`.
        weights: of its checkpoint.
    """
    stage = build_stage(settings, to_train=False)
    stage.load_state_dict(weights)
    return stage.eval()


def require_device(name: str) -> str:
    """Return the name of a device, such as cpu or cuda:1.

    Raises:
        ConfigError: there is no such device here.
    """
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"device is {name!r}, which cannot be used here ({reason}). Use device=cpu, or cuda where torch sees a GPU."
        ) from error
    return name


def _method(settings: Settings) -> Settings:
    if settings["baseline"] is None:
        raise ConfigError(
            "stage=baseline needs a method: baseline=<file in conf/baseline>, or experiment=baseline_<name>."
        )
    return settings["baseline"]


def _build_baseline(settings: Settings, optimisation: Any, codebook: Run | None) -> BaselineStage:
    given = {}
    if needs_codebook(settings):
        given["vqvae"] = build_vqvae(settings)
        if codebook is not None:
            load_codebook(given["vqvae"], settings, codebook)
    method = instantiate(_method(settings), **given, _convert_="all")
    method.freeze()
    return BaselineStage(method, build_scorer(settings), optimisation, settings["seed"], settings)


def _build_pixel_detector(settings: Settings, optimisation: Any, codebook: Run | None) -> PixelDetectorStage:
    model, view = settings["model"], None
    painter, pixel_loss = settings["synthesiser"]["painter"], instantiate(settings["loss"]["pixel"])
    if not painter:
        raise ConfigError(
            "model.network learns painted lesions, and synthesiser.painter is null. Use synthesiser=default, or a "
            "detector of tokens: model=small."
        )
    if model["view"]:
        view = instantiate(model["view"], vqvae=build_vqvae(settings), _convert_="all")
        if codebook is not None:
            load_codebook(view.vqvae, settings, codebook)
    network = instantiate(model["network"], further=view.count if view else 0, _convert_="all")
    detector, painter = PixelDetector(network, view), instantiate(painter, _convert_="all")
    return PixelDetectorStage(
        detector, painter, pixel_loss, build_scorer(settings), optimisation, settings["seed"], settings
    )


def _build_detector(settings: Settings, vqvae: VQVAE) -> Detector:
    model = settings["model"]
    n_tokens = (vqvae.size // vqvae.stride) ** 2
    restorer = instantiate(model["decoder"], _convert_="all")
    classifier = instantiate(model["classifier"], n_tokens=n_tokens)
    wanted = model.get("refiner")  # runs of before it have none
    refiner = instantiate(wanted, stride=vqvae.stride, _convert_="all") if wanted else None
    detector = Detector(vqvae, restorer, classifier, model["classifier_input"], refiner)
    detector.start_restorer()
    return detector


def _build_corrupter(settings: Settings, vqvae: VQVAE) -> Corrupter:
    location, draw = (instantiate(settings[name], _convert_="all") for name in ("location", "draw"))
    synthesiser = instantiate(settings["feature_space"], location=location, draw=draw)
    painter = instantiate(settings["painter"], _convert_="all") if settings["painter"] else None
    return Corrupter(vqvae, synthesiser, painter, settings["token_share"], settings["bound_by_lung"])
