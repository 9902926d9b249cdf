"""`anomask fit`: what it does, what it leaves out, and when it does it again."""

import logging
import shutil
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from anomask.errors import ConfigError, DataError
from anomask.evaluation.evaluate import evaluate
from anomask.runs import Run, find_run
from anomask.settings.compose import CONF_FOLDER, plain, register
from anomask.settings.schema import EvaluateConfig
from anomask.training import both_stages
from anomask.training.both_stages import fit, quoted
from anomask.training.train import train
from tests.conftest import TINY

SMALL = [one for one in TINY if not one.startswith(("data=", "trainer.max_steps"))] + ["trainer.max_steps=2"]


@pytest.fixture
def fitted(tmp_path, monkeypatch):
    """Return fitted(*overrides): the commands that `anomask fit` gives; they are carried out in this process."""
    monkeypatch.chdir(tmp_path)
    for name in ("RUNS", "CACHE"):
        monkeypatch.setenv(f"ANOMASK_{name}", name.lower())
    commands = []

    def call(what, arguments, dry):
        commands.append(arguments)
        if dry:
            return
        if arguments[0] == "evaluate":
            given = plain(compose("evaluate", [*arguments[1:], "bootstrap=20", "pictures=2", "progress=false"]))
            evaluate(EvaluateConfig(**given), Run(Path(given["run"])))
        else:
            settings = plain(compose("train", arguments[1:]))
            train(settings, Run(Path(settings["run"])))

    monkeypatch.setattr(both_stages, "_call", call)

    def run(*typed, small=SMALL):
        commands.clear()
        typed = [*small, *typed]
        register()
        with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
            fit(compose("fit", typed), typed)
        shown = ("train", "evaluate", "experiment", "name")
        return [" ".join(one for one in line if one.split("=")[0] in shown) for line in commands]

    return run


TOKENS = "experiment=detector_tokens"
BOTH = ["train experiment=codebook name=ours_codebook", f"train {TOKENS} name=ours"]


def test_the_default_needs_no_codebook(fitted, toy_folder, tmp_path):
    folder = shutil.copytree(toy_folder, tmp_path / "data/ours")
    small = [one for one in SMALL if not one.startswith("model.")]
    one = ["train experiment=detector name=ours", "evaluate"]
    assert fitted(f"folder={folder}", "model.network.features=[4,4,8,8,8,4]", small=small) == one
    seen = ["model=unet_codebook", "model.network.features=[4,4,8,8,8,4]"]
    codebook, detector = fitted(f"folder={folder}", *seen, "dry=true", small=small)[:2]
    assert codebook == BOTH[0] and detector == one[0]


def test_everything_once_then_only_what_changed(fitted, toy_folder, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = shutil.copytree(toy_folder, tmp_path / "data/ours")
    assert fitted(f"folder={folder}", TOKENS) == [*BOTH, "evaluate"]
    detector = find_run("ours", "runs", "detector")
    assert list(detector.folder.glob("evaluation/ours/report.html"))
    assert fitted(f"folder={folder}", TOKENS) == []
    assert caplog.messages[-2] == "next: anomask predict run=ours input=<slices, folder, DICOM series or NIfTI>"
    # Stage 2 alone, as the codebook reads nothing of it; then everything, since the data is another.
    assert fitted(f"folder={folder}", TOKENS, "synthesiser.share=0.2", "dry=true") == [BOTH[1], "evaluate"]
    shutil.copy(folder / "test/normal/t000.png", folder / "test/normal/extra.png")
    (folder / "test/normal/t000.png").unlink()
    assert fitted(f"folder={folder}", TOKENS, "dry=true") == [*BOTH, "evaluate"]


def test_a_method_without_codebook_and_a_folder_without_test_slices(fitted, toy_folder, tmp_path):
    shutil.copytree(toy_folder / "train", tmp_path / "our slices/train")
    given = ["folder='our slices'", "experiment=baseline_vae", "dry=true"]
    assert fitted(*given) == ["train experiment=baseline_vae name='our slices'"]
    assert fitted(*given, "name=mine") == ["train experiment=baseline_vae name=mine"]
    assert not (tmp_path / "runs").exists()


def test_refused_before_anything_is_trained(fitted, toy_folder):
    with pytest.raises(ConfigError, match="no data folder is named. Use folder="):
        fitted(small=[])
    with pytest.raises(DataError, match="12 validation normals .* 19 are needed"):
        fitted(f"folder={toy_folder}", TOKENS, "scoring.specificity=0.95")


def test_values_are_quoted_for_hydra():
    assert [quoted(one) for one in ("data/ours", "my (own), data", "it's")] == [
        "data/ours",
        "'my (own), data'",
        "'it\\'s'",
    ]
