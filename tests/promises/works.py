"""Pieces of work that are killed, each as a user would start it and start it again."""

import os
import shutil
import sys
from pathlib import Path

import torch

from anomask.commands import cli
from anomask.evaluation import about
from anomask.prediction import told
from anomask.runs import Run
from anomask.settings.compose import register
from anomask.settings.resume import parse
from anomask.training.resume import go_on, resumption
from anomask.training.train import train
from tests.conftest import TINY, evaluated, predicted, settings_of
from tests.preparation.conftest import settings_of as settings_of_preparation

torch.set_num_threads(1)
register()
# Whoever commits while the tests run changes no results with it.
about.current_commit = told.current_commit = lambda: "the same"
LONGER = ["trainer.max_steps=24", "trainer.val_check_interval=4", "stage.optimisation.schedule=constant"]


def trained(home, toy, name, *overrides):
    """Train, or go on from the last checkpoint where there is one."""
    folder = Path(home) / "runs" / name
    if (folder / "config.yaml").is_file():
        go_on(resumption(str(folder), "runs", parse([])))
        return
    places = [f"data.folder={toy}", f"paths.runs={home}/runs", f"paths.cache={home}/cache", f"run={folder}"]
    train(settings_of(*TINY, *LONGER, *places, *overrides), Run(folder))


def trained_anew(home, toy, name, *overrides):
    """Train from the start with whatever is in the cache by now."""
    shutil.rmtree(Path(home) / "runs" / name, ignore_errors=True)
    trained(home, toy, name, *overrides)


def evaluated_here(folder, **changes):
    """Evaluate a run."""
    evaluated(Run(Path(folder)), **changes)


def predicted_here(folder, place, **changes):
    """Predict with a run."""
    predicted(Run(Path(folder)), Path(place), **changes)


def prepared(source, output, key):
    """Prepare, or go on preparing."""
    from anomask.preparation.prepare import prepare

    fixed = [f"input={source}", f"output={output}", f"key_file={key}", "workers=1", "progress=false"]
    prepare(settings_of_preparation(*fixed, "test_share=0.4"))


def swept(home, toy):
    """Train two jobs as a sweep, or those that are not done."""
    os.chdir(home)
    places = [f"data.folder={toy}", f"paths.runs={home}/runs", f"paths.cache={home}/cache", "name=toy", "sweep=two"]
    sys.argv = ["anomask", "train", "-m", *TINY, *LONGER, *places, "stage=codebook", "seed=0,1"]
    cli.main(sys.argv[1:])


def evaluated_and_measured(folder, note):
    """Evaluate a run, and note the most memory that this process has ever had, in megabytes."""
    evaluated(Run(Path(folder)), bootstrap=1000)
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    Path(note).write_text(str(int(peak.split()[1]) // 1024))
