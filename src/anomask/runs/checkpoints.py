"""Checkpoint files: written whole beside their target, read without running code, followed where a run is moved."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import torch

from anomask.errors import RunError
from anomask.files import whole_file

log = logging.getLogger(__name__)

TRAINING = "optimizer_states"  # what a checkpoint has from which a training can go on


def write_checkpoint(file: Path, checkpoint: dict[str, Any]) -> None:
    """Write a checkpoint; the previous one stays until the new one is whole and on the disk."""
    with whole_file(file, durable=True) as temporary:
        torch.save(checkpoint, temporary)


def load_checkpoint(file: Path) -> dict[str, Any]:
    """Load a checkpoint file: `state_dict` and `settings`, plain values and tensors only.

    Raises:
        RunError: it is cut off, or not one of ours.
    """
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds for a damaged file; all mean the same to a user
        raise RunError(
            f"{file} cannot be read ({type(error).__name__}): it is cut off or damaged. Use the run's "
            "other checkpoint (checkpoint=last or best) or train again."
        ) from error
    if not isinstance(checkpoint, dict) or not {"settings", "state_dict"} <= checkpoint.keys():
        raise RunError(f"{file} is not an anomask checkpoint: it has no settings beside its weights.")
    return checkpoint


def digest(file: Path) -> str:
    """Return the SHA-256 of a checkpoint file: what was made with it can be told from what was made with another."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def resumable(folder: Path, first: str = "last") -> Path | None:
    """Return the checkpoint that a training can go on from: `last`, or `best` where that cannot be read.

    Args:
        folder: of the checkpoints.
        first: the one that is tried first.
    """
    for which in (first, "best"):
        file = folder / f"{which}.ckpt"
        if not file.is_file():
            continue
        try:
            if TRAINING in load_checkpoint(file):
                return file
        except RunError as error:
            log.warning("%s", error)
    return None


def follow(checkpoint: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths that Lightning has put into a checkpoint those of today: the run may have been moved or copied.

    Args:
        checkpoint: with the state of the callbacks, some of which know where the best checkpoint is.
        folder: of the checkpoints, today.
    """
    folder = folder.resolve()  # as Lightning has it
    for state in checkpoint.get("callbacks", {}).values():
        if not isinstance(state, dict) or "dirpath" not in state:
            continue
        state["dirpath"] = str(folder)
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            if state.get(name):
                state[name] = str(folder / Path(state[name]).name)
        known = state.get("best_k_models", {})
        state["best_k_models"] = {str(folder / Path(file).name): value for file, value in known.items()}
    return checkpoint
