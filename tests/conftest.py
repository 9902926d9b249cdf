"""Toy data and small settings for the whole suite; nothing here needs a download."""

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from anomask.evaluation.evaluate import evaluate
from anomask.prediction.predict import predict
from anomask.prediction.run_model import model_of
from anomask.runs.folder import Run
from anomask.settings.compose import CONF_FOLDER, plain, register
from anomask.settings.schema import EvaluateConfig, PredictConfig
from anomask.training.train import train

os.environ.setdefault("WANDB_MODE", "offline")
if "PYTEST_XDIST_WORKER" in os.environ:  # a worker a core, and what it starts has that core too
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
else:
    torch.set_num_threads(2)

REAL_DATA = Path(os.environ.get("ANOMASK_DATA", Path(__file__).parents[2] / "shared" / "data"))

TINY = [
    "data=folder",
    "data.size=32",
    "data.batch_size=8",
    "data.validation_share=0.34",
    "model.width=16",
    "model.encoder.channels=[8,16]",
    "model.encoder.blocks=1",
    "model.quantiser.n_codes=32",
    "model.decoder.channels=[16,8]",
    "model.decoder.blocks=1",
    "model.classifier.depth=1",
    "model.classifier.heads=2",
    "model.classifier.head_width=8",
    "stage.min_perplexity=1.5",
    "scoring.specificity=0.8",
    "trainer.max_steps=4",
    "trainer.val_check_interval=2",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "~callbacks.progress",
]


@pytest.fixture(autouse=True)
def own_logging():
    """Take away what a test adds to the root logger: a console handler would write to a stream that is closed."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for handler in [one for one in root.handlers if one not in before]:
        root.removeHandler(handler)
    root.setLevel(level)


# What makes a comparison method small enough for 32 px: its own keys beside TINY.
TINY_BASELINES = {
    "ae": ["baseline.channels=[8,16]", "baseline.bottleneck=4"],
    "painted_unet": ["baseline.network.features=[4,4,8,8,8,4]"],
    "painted_unet_small": ["baseline.network.features=[4,4,8,8,8,4]"],
    "padim": ["baseline.features.side=64", "baseline.kept=20"],
    "patchcore": ["baseline.features.side=64", "baseline.memory=64"],
    "rd4ad": ["baseline.features.side=64", "baseline.width=32", "baseline.expansion=2", "baseline.blocks=1"],
    "simplenet": ["baseline.features.side=64", "baseline.hidden=32"],
    "cutpaste": ["baseline.channels=[8,8,16,16]", "baseline.crops=1"],
    "draem": ["baseline.channels=[8,8,16]", "baseline.segmenter.channels=[8,8,8,16,16]"],
    "dsr": ["baseline.channels=[8,16]", "baseline.segmenter.channels=[8,8,8,16,16]"],
    "memae": ["baseline.channels=[8,16]", "baseline.bottleneck=4", "baseline.items=20"],
    "token_memory": ["baseline.memory=64"],
    "token_prior": ["baseline.depth=1", "baseline.head_width=8", "baseline.restorations=3", "baseline.quantile=0.5"],
    "vae": ["baseline.channels=[8,16]", "baseline.bottleneck=4", "baseline.latent=8"],
}


def toy_slice(rng, size=32, lesion=False):
    """A bright frame around two dark lungs with some texture; a lesion is a brighter disc in one of them."""
    rows, columns = np.mgrid[:size, :size] / size
    left = ((rows - 0.5) / 0.35) ** 2 + ((columns - 0.3) / 0.16) ** 2 < 1
    right = ((rows - 0.5) / 0.35) ** 2 + ((columns - 0.7) / 0.16) ** 2 < 1
    lung = left | right
    image = np.where(lung, 60, 190) + 15 * rng.standard_normal((size, size))
    mask = np.zeros_like(lung)
    if lesion:
        centre = (0.35 + 0.3 * rng.random(), rng.choice([0.3, 0.7]))
        mask = ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < 0.1**2) & lung
        image = image + 90 * mask
    return image.clip(0, 255).astype(np.uint8), mask, lung


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory):
    """A data folder in the seed's layout: 36 training normals, 10 test normals, two diseases with masks."""
    folder = tmp_path_factory.mktemp("toy")
    rng = np.random.default_rng(0)
    for index in range(36):
        save(toy_slice(rng)[0], folder / f"train/normal/n{index:03d}.png")
    for index in range(10):
        save(toy_slice(rng)[0], folder / f"test/normal/t{index:03d}.png")
    for disease in ("nodule", "opacity"):
        for index in range(6):
            image, mask, lung = toy_slice(rng, lesion=True)
            name = f"{disease}/{disease[0]}{index:03d}.png"
            save(image, folder / "test/abnormal" / name)
            save(mask.astype(np.uint8) * 255, folder / "test/masks" / name)
            save(lung.astype(np.uint8) * 255, folder / "test/lung_masks" / name)
    return folder


def settings_of(*overrides):
    """Compose plain training settings from conf/ without starting Hydra's own application."""
    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        return plain(compose("train", overrides=list(overrides)))


@pytest.fixture
def tiny(toy_folder, tmp_path):
    """Return settings of a run that trains in a second: tiny("stage=detector", ...)."""

    def make(*overrides, name="run"):
        fixed = [f"data.folder={toy_folder}", f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache"]
        return settings_of(*TINY, *fixed, f"run={tmp_path}/runs/{name}", *overrides)

    return make


def run_of(settings):
    return Run(Path(settings["run"]))


def fit(settings, resume=False):
    run = run_of(settings)
    train(settings, run, resume)
    return run


@pytest.fixture(scope="session")
def trained_once(toy_folder, tmp_path_factory):
    """Train both stages once for all tests; they take copies."""
    home = tmp_path_factory.mktemp("trained")
    common = [*TINY, f"data.folder={toy_folder}", f"paths.runs={home}/runs", f"paths.cache={home}/cache"]
    codebook = fit(settings_of(*common, "stage=codebook", f"run={home}/runs/codebook"))
    fit(settings_of(*common, "stage=detector", f"codebook_run={codebook.folder}", f"run={home}/runs/detector"))
    return home


def moved(name, home, tmp_path):
    """Return the run as if it had been trained below `tmp_path`."""
    folder = tmp_path / "runs" / name
    shutil.copytree(home / "runs" / name, folder)
    for file in (folder / "config.yaml", folder / "cost.json"):
        file.write_text(file.read_text().replace(str(home), str(tmp_path)))
    return Run(folder)


@pytest.fixture
def codebook(trained_once, tmp_path):
    return moved("codebook", trained_once, tmp_path)


@pytest.fixture
def detector(trained_once, codebook, tmp_path):
    return moved("detector", trained_once, tmp_path)


@pytest.fixture(scope="session")
def evaluated_once(trained_once, tmp_path_factory):
    """Evaluate that detector once; tests take copies."""
    home = tmp_path_factory.mktemp("evaluated")
    for name in ("codebook", "detector"):
        moved(name, trained_once, home)
    evaluated(Run(home / "runs/detector"))
    return home


@pytest.fixture
def evaluated_detector(evaluated_once, codebook, tmp_path):
    """The detector of `detector`, evaluated already."""
    return moved("detector", evaluated_once, tmp_path)


def evaluated(run, **changes):
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        given = OmegaConf.to_container(compose("evaluate", [f"run={run.folder}"]))
    small = dict(batch_size=4, pictures=4, bootstrap=50, progress=False)
    return evaluate(EvaluateConfig(**(given | small | changes)), run)


def predicted(run, place, **changes):
    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        given = OmegaConf.to_container(compose("predict", [f"run={run.folder}", f"input={place}"]))
    config = PredictConfig(**(given | {"progress": False, "min_pixels": 4, "names": "input"} | changes))
    return predict(config, model_of(run, config.checkpoint))
