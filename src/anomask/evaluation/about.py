"""What identifies a result record: run, settings, data, code, packages and machine."""

import logging
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from anomask.build import Stage
from anomask.data.checks.verification import verify_folder
from anomask.data.loading.datamodule import SliceDataModule
from anomask.report.verification import in_short
from anomask.runs.commit import current_commit
from anomask.runs.folder import Run
from anomask.stages.baseline import BaselineStage

log = logging.getLogger(__name__)

PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "monai", "numpy", "scipy", "pillow")
# Of the settings of a training, without its paths.
DATA = ("size", "batch_size", "validation_share", "on_mixed_size", "lung_masks", "crop", "balance")
TRAINER = ("max_steps", "max_epochs", "precision", "accumulate_grad_batches", "gradient_clip_val", "val_check_interval")


def about_run(stage: Stage, data: SliceDataModule, run: Run, checkpoint: str) -> dict[str, Any]:
    """Return what identifies a record."""
    settings = stage.settings
    return {
        "run": settings["name"],
        "seed": settings["seed"],
        **about_method(stage),
        "training": {
            "data": {name: settings["data"].get(name) for name in DATA},
            "augment": settings.get("augment"),
            "trainer": {name: value for name, value in settings.get("trainer", {}).items() if name in TRAINER},
        },
        "looks": looks_of(stage),
        "checkpoint": checkpoint,
        "commit": current_commit(),
        "packages": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "processor": processor(),
        "data": data.folder.name,
        "fingerprint": data.fingerprint(),
        "data_fingerprint": fingerprint_of(data, settings),
        "training_fingerprint": run.read_fingerprint(),
        "synthetic": data.synthetic,
        "size": data.size,
        "crop": data.crop,
        "cost": run.read_cost(),
    }


def about_method(stage: Stage) -> dict[str, Any]:
    """Return a record's method, as tables name it, and the settings that made it."""
    if isinstance(stage, BaselineStage):
        method, groups = stage.method, ("baseline", "scoring", "stage")
        about = {"name": method.title, "family": method.family, "source": method.source}
    else:
        groups = ("model", "synthesiser", "loss", "scoring", "stage")
        about = {"name": stage.settings.get("title", "anomask"), "family": "ours", "source": "docs/reference/method.md"}
    return {"method": about, "settings": {name: stage.settings[name] for name in groups}}


def looks_of(stage: Stage) -> dict[str, bool]:
    """Return how a slice was looked at: what was done, which for comparison methods is not what `scoring` says."""
    looks = getattr(stage.method if isinstance(stage, BaselineStage) else stage, "looks", None)
    if looks is None and not isinstance(stage, BaselineStage):
        looks = stage.scorer
    return {"mirror": bool(looks and looks.mirror), "crops": bool(looks and looks.crops)}


def processor() -> str:
    """Return what the processor calls itself, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def fingerprint_of(data: SliceDataModule, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what the evaluated set is, and log what is doubtful about it."""
    memory = Path(settings["paths"]["cache"]) / "fingerprints"
    to_train = bool(data.normals)
    verification = verify_folder(data.folder, data.on_mixed_size, memory, data.progress, to_train)
    for line in in_short(verification.findings):
        log.warning("%s", line)
    return verification.fingerprint
