"""Every run that an experiment makes can be evaluated and predicted with; comparison methods: test_every_baseline."""

from pathlib import Path

import pytest

from anomask.data.phantom.dataset import write_phantom
from anomask.settings.compose import CONF_FOLDER
from tests.conftest import TINY, evaluated, fit, predicted, settings_of

NAMES = sorted(path.stem for path in (CONF_FOLDER / "experiment").glob("*.yaml"))
OF_STAGE_1 = [name for name in NAMES if name.endswith("codebook")]
OF_METHODS = [name for name in NAMES if name.startswith("baseline_")]
DETECTORS = sorted({*NAMES} - {*OF_STAGE_1} - {*OF_METHODS})
OF_PIXELS = ("detector", "parts")  # without a codebook
PHANTOM = ["train_patients=6", "test_patients=2", "slices_per_patient=3", "abnormal_per_family=1"]
# Of the paper's size only the small parts differ here; its networks take their steps in test_paper_size.
SMALL = [
    "model=small",
    *(one for one in TINY if one != "data=folder"),
    "data=phantom",
    "trainer.max_steps=2",
    "trainer.check_val_every_n_epoch=null",
]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "phantom"
    sizes = {name: int(value) for name, value in (one.split("=") for one in PHANTOM)}
    write_phantom(folder, size=32, progress=False, **sizes)
    return [*SMALL, f"data.folder={folder}", *(f"data.{one}" for one in PHANTOM)]


@pytest.fixture(scope="module")
def phantom_codebook(phantom, tmp_path_factory):
    home = tmp_path_factory.mktemp("codebook")
    fixed = [f"run={home}/codebook", f"paths.runs={home}", f"paths.cache={home}/cache"]
    return fit(settings_of("experiment=demo_codebook", *phantom, *fixed))


def quick(name):
    return name if name in ("demo_detector", "detector") else pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [quick(name) for name in DETECTORS])
def test_a_run_of_every_experiment_is_evaluated_and_predicted_with(name, phantom, phantom_codebook, tmp_path):
    fixed = [f"run={tmp_path}/runs/{name}", f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache"]
    if name in OF_PIXELS:
        small = [one for one in phantom if not one.startswith("model")]
        run = fit(settings_of(f"experiment={name}", *small, "model.network.features=[4,4,8,8,8,4]", *fixed))
    else:
        run = fit(settings_of(f"experiment={name}", *phantom, f"codebook_run={phantom_codebook.folder}", *fixed))
    report = evaluated(run)
    folder, faults = predicted(run, Path(run.read_settings()["data"]["folder"]) / "test/abnormal")
    assert (report / "report.html").is_file() and (folder / "index.html").is_file() and not faults
