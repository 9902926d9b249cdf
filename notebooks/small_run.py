"""Two small runs on the phantom for the notebooks: a codebook, and a detector on it; trained once, then found again."""

from pathlib import Path

from hydra import compose, initialize_config_dir

from anomask.runs.folder import Run
from anomask.settings.compose import CONF_FOLDER, plain, register
from anomask.training.train import train

SMALL = [
    "data.size=64",
    "data.train_patients=8",
    "data.test_patients=4",
    "data.abnormal_per_family=8",
    "model.encoder.channels=[96]",
    "model.decoder.channels=[96]",  # stride 4: 16 x 16 tokens at 64 px
    "model.refiner.channels=[16,48]",  # two halvings
    "scoring.specificity=0.8",
    "stage.min_perplexity=2",
]


def small_detector(folder: Path, steps: int) -> Run:
    """Train both stages for `steps` steps each below `folder`, or find them there.

    Args:
        folder: where runs and phantom go.
        steps: of each stage.

    Returns:
        the detector's run
    """
    for name, extra in (("codebook", []), ("detector", ["stage=detector", f"codebook_run={folder}/runs/codebook"])):
        chosen = small_settings(folder, name, steps, *extra)
        if not Run(Path(chosen["run"])).finished:
            train(chosen, Run(Path(chosen["run"])))
    return Run(folder / "runs/detector")


def small_settings(folder: Path, name: str, steps: int, *overrides: str) -> dict:
    """Compose what `anomask train data.size=64 ...` would."""
    register()
    places = [f"name={name}", f"run={folder}/runs/{name}", f"paths.runs={folder}/runs", f"paths.cache={folder}/data"]
    budget = [f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps}"]
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        return plain(compose("train", overrides=[*places, *SMALL, *budget, "progress=false", *overrides]))
