"""Run a model of another library in its own environment, and make an ordinary baseline run of its maps."""

import logging
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate

from anomask.baselines.external import ExternalMaps
from anomask.build import build_data, build_stage
from anomask.errors import DataError, ExternalError
from anomask.libraries.exchange import export, images_of, lift, read_cost, read_maps
from anomask.libraries.weights import PACKAGED, write_packaged_weights
from anomask.quiet import quieten
from anomask.runs.commit import current_commit
from anomask.runs.folder import Run
from anomask.training.after_fit import fit_normals, fix_threshold, say_end, write_floors

log = logging.getLogger(__name__)

RUNNER = Path(__file__).parents[1] / "libraries" / "runner.py"
RECIPE = (
    "model",
    "options",
    "weights",
    "image_size",
    "normalise",
    "trainer",
)  # what of a method's settings the runner gets
BILL = ("seconds", "steps", "slices_seen", "parameters", "trained_parameters", "detect_ms_per_slice", "versions")


def run_external(settings: dict[str, Any], run: Run) -> None:
    """Export the slices, run the model elsewhere, and write a run folder like any other method's.

    Args:
        settings: plain settings, see `anomask.settings.schema.ExternalConfig`.
        run: where everything is written; nothing but the other side's output is left there after an error.

    Raises:
        AnomaskError: settings, data, environment or answer that cannot be used.
    """
    quieten()
    python = _interpreter(settings["python"])
    pl.seed_everything(settings["seed"], workers=True, verbose=False)
    about = _about(settings)
    data, stage = build_data(settings), build_stage(settings)
    data.prepare_data()
    data.setup()
    if data.test_set is None:
        raise DataError(f"no test slices in {data.folder}: maps of them are what this is for. Put slices there.")
    sets = {"train": data.train_set, "validation": data.validation_set, "test": data.test_set}
    exchange = run.folder / "exchange"
    try:
        export(exchange, sets, about)
        if settings["baseline"]["weights"] == PACKAGED:
            write_packaged_weights(exchange / "weights.pth")
        log.info("%s in %s; its output: %s", stage.method.title, python, run.folder / "runner.log")
        call(python, Path(settings["runner"] or RUNNER), exchange, run.folder / "runner.log")
        bill = read_cost(exchange, BILL)
        bill["map_shift"] = _keep(stage.method, read_maps(exchange, sets, data.size), sets)
    finally:
        if not settings["keep"]:
            shutil.rmtree(exchange, ignore_errors=True)
    trainer = instantiate(settings["trainer"], logger=False, enable_checkpointing=False, _convert_="all")
    fit_normals(stage, data, trainer, run)
    fix_threshold(settings, data, run, trainer.strategy.root_device)
    write_floors(settings, data, run)
    run.write_cost(bill | {"commit": current_commit()})
    run.write_settings(settings)  # last: without it a folder is no run
    run.link_latest()
    say_end(run)


def _interpreter(text: str) -> Path:
    python = Path(text).absolute()  # never resolved: an environment's python is a link to the one it was made from
    if not python.is_file():
        raise ExternalError(
            f"no environment for models of other libraries: {python} does not exist. Make it with `make "
            "baselines-env`, or name the python of an environment that has anomalib: python=<path>."
        )
    return python


def _about(settings: dict[str, Any]) -> dict[str, Any]:
    recipe = {name: settings["baseline"][name] for name in RECIPE}
    if recipe["weights"] == PACKAGED:
        recipe["weights"] = "weights.pth"
    elif recipe["weights"]:
        file = Path(recipe["weights"]).absolute()
        if not file.is_file():
            raise ExternalError(f"no weights at {file}. Name a file of timm's weights, or {PACKAGED} (packaged).")
        recipe["weights"] = str(file)
    recipe["trainer"] = {"accelerator": settings["trainer"]["accelerator"], "devices": 1} | recipe["trainer"]
    data = {name: settings["data"][name] for name in ("size", "batch_size")}
    return {**data, "seed": settings["seed"], "model": recipe}


def call(python: Path, runner: Path, exchange: Path, log_file: Path) -> None:
    """Run the other side.

    Args:
        python: of the other environment.
        runner: the script.
        exchange: the folder that it is given.
        log_file: where its output goes.

    Raises:
        ExternalError: it failed; the message has its last line.
    """
    with log_file.open("w", encoding="utf-8") as stream:
        # -I: our own PYTHONPATH must not mix into the other environment.
        command = [str(python), "-I", str(runner), str(exchange)]
        code = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        lines = [line for line in log_file.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        said = lines[-1].strip() if lines else "nothing"
        raise ExternalError(
            f"{runner.name} in {python} ended with exit code {code}; it said: {said} (all of it: {log_file})"
        )


def _keep(method: ExternalMaps, maps: dict[str, torch.Tensor], sets: dict[str, Any]) -> float:
    shift = lift(maps)
    method.keep(torch.cat([images_of(sets[split]) for split in maps]), torch.cat(list(maps.values())))
    return shift
