"""A run folder: what its files are called, and how to find, write and reopen one."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout

from anomask.errors import RunError
from anomask.files import link_whole, whole_file, write_json, write_text

log = logging.getLogger(__name__)

LOCK_WAIT = 10.0  # seconds; the workers of a process that was killed end within a few


@dataclass(frozen=True)
class Run:
    """One training run's folder.

    ``config.yaml`` settings, resolved · ``checkpoints/best.ckpt, last.ckpt`` · ``threshold.json`` decision threshold ·
    ``normal_scores.json`` of validation normals ·
    ``validation.json`` the figure that chose `best` · ``fingerprint.json`` the data it learned from · ``cost.json`` ·
    ``floors.npz`` what its training normals are like · ``failure.json`` where it broke off ·
    ``pictures/`` training panels · ``evaluation/<name>/`` results · ``predictions/<name>/`` of new slices ·
    ``metrics.csv`` where logger=csv · ``wandb.json`` and ``wandb/`` where logger=wandb.
    """

    folder: Path

    @property
    def settings_file(self) -> Path:
        """The run's settings as YAML."""
        return self.folder / "config.yaml"

    @property
    def threshold_file(self) -> Path:
        """The decision threshold and what it means."""
        return self.folder / "threshold.json"

    @property
    def validation_file(self) -> Path:
        """The validation figure of the best checkpoint."""
        return self.folder / "validation.json"

    @property
    def cost_file(self) -> Path:
        """What the training cost."""
        return self.folder / "cost.json"

    @property
    def normal_scores_file(self) -> Path:
        """The slice scores of the validation normals."""
        return self.folder / "normal_scores.json"

    @property
    def fingerprint_file(self) -> Path:
        """What the data of the training was."""
        return self.folder / "fingerprint.json"

    @property
    def floors_file(self) -> Path:
        """What an evaluation on test slices alone needs of the training normals."""
        return self.folder / "floors.npz"

    @property
    def wandb_file(self) -> Path:
        """The id of its W&B run, and the highest step given to it."""
        return self.folder / "wandb.json"

    def checkpoint_file(self, which: str) -> Path:
        """The checkpoint `best` or `last`."""
        return self.folder / "checkpoints" / f"{which}.ckpt"

    def evaluation_folder(self, name: str) -> Path:
        """Where the results on the data set `name` go."""
        return self.folder / "evaluation" / name

    def prediction_folder(self, name: str) -> Path:
        """Where the predictions of the input `name` go."""
        return self.folder / "predictions" / name

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Write the settings of this run."""
        write_text(self.settings_file, yaml.safe_dump(settings, sort_keys=False))

    def read_settings(self) -> dict[str, Any]:
        """Read the settings of this run.

        Raises:
            RunError: the folder holds none.
        """
        if not self.settings_file.is_file():
            raise RunError(f"no config.yaml in {self.folder}. Wanted: a run folder that anomask train wrote.")
        return yaml.safe_load(self.settings_file.read_text(encoding="utf-8"))

    def load_checkpoint(self, which: str = "best") -> dict[str, Any]:
        """Load a checkpoint: `state_dict` and `settings`, plain values and tensors only.

        Raises:
            RunError: it is missing, cut off, or not one of ours.
        """
        file = self.checkpoint_file(which)
        if not file.is_file():
            found = sorted(path.stem for path in file.parent.glob("*.ckpt"))
            raise RunError(
                f"no checkpoint {which!r} in {file.parent} (found: {', '.join(found) or 'none'}). The run has not "
                f"validated yet or was cut off; continue it with resume={self.folder}."
            )
        return load_checkpoint(file)

    def write_checkpoint(self, which: str, checkpoint: dict[str, Any]) -> None:
        """Write a checkpoint: `state_dict` and `settings`, plain values and tensors only."""
        with whole_file(self.checkpoint_file(which)) as file:
            torch.save(checkpoint, file)

    def write_threshold(self, threshold: dict[str, Any]) -> None:
        """Write the decision thresholds with their meaning, see `anomask.scoring.threshold.thresholds`."""
        write_json(self.threshold_file, threshold)

    def read_threshold(self) -> dict[str, Any]:
        """Read the decision threshold.

        Raises:
            RunError: the run has none.
        """
        if not self.threshold_file.is_file():
            raise RunError(
                f"no threshold.json in {self.folder}: its training did not finish. Resume it with resume={self.folder}."
            )
        return json.loads(self.threshold_file.read_text(encoding="utf-8"))

    def write_normal_scores(self, scores: list[float]) -> None:
        """Write the slice scores of the validation normals, which place a new slice among them."""
        write_json(self.normal_scores_file, sorted(scores))

    def read_normal_scores(self) -> list[float] | None:
        """Read the scores of the validation normals in rising order, or None where the run did not write them."""
        file = self.normal_scores_file
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    def write_validation(self, monitor: str, mode: str, value: float) -> None:
        """Write the validation figure that chose the best checkpoint: searches look at it, never at test figures."""
        write_json(self.validation_file, {"monitor": monitor, "mode": mode, "value": value})

    def read_validation(self) -> dict[str, Any] | None:
        """Read the validation figure: monitor, mode ('min' or 'max') and value; None where the run has none."""
        return json.loads(self.validation_file.read_text(encoding="utf-8")) if self.validation_file.is_file() else None

    def write_cost(self, about: dict[str, Any]) -> None:
        """Write what the training cost; the last file of a run, which is finished by it."""
        write_json(self.cost_file, about)

    def read_cost(self) -> dict[str, Any] | None:
        """Read what the training cost, or None where the run did not write it."""
        return json.loads(self.cost_file.read_text(encoding="utf-8")) if self.cost_file.is_file() else None

    def write_fingerprint(self, fingerprint: dict[str, Any]) -> None:
        """Write what the data of the training was, see `anomask.data.checks.fingerprint`."""
        write_json(self.fingerprint_file, fingerprint)

    def read_fingerprint(self) -> dict[str, Any] | None:
        """Read what the data of the training was, or None where it was not verified."""
        file = self.fingerprint_file
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep every other process from training into this folder; the system lets go when the process is killed.

        Raises:
            RunError: another process trains into it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=LOCK_WAIT)
        except Timeout as error:
            raise RunError(
                f"another process trains into {self.folder}. Wait until it has ended (started again, a finished job is "
                "skipped), or stop it first."
            ) from error
        except NotImplementedError:
            log.warning("%s is on a file system without locks: nothing keeps a second process out", self.folder)
        try:
            yield
        finally:
            lock.release()

    def keep_metrics(self) -> None:
        """Rename metrics.csv before training goes on: its logger starts a new file and deletes the old one."""
        file = self.folder / "metrics.csv"
        if file.exists():
            earlier = len(list(self.folder.glob("metrics.*.csv")))
            file.rename(file.with_suffix(f".{earlier}.csv"))

    @property
    def finished(self) -> bool:
        """Whether training, threshold and cost are all there."""
        return self.cost_file.is_file()

    @property
    def label(self) -> str:
        """The run's name and which of that name's runs it is."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    def link_latest(self) -> None:
        """Point ``latest`` beside this folder at it."""
        link_whole(self.folder.parent / "latest", Path(self.folder.name))


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


def find_run(text: str, runs_folder: str, *stages: str) -> Run:
    """Find a run by its folder, or by its name (the latest run of that name).

    Args:
        text: a path, or a folder's name inside `runs_folder`.
        runs_folder: where run folders are kept.
        stages: what kinds of run will do: 'codebook', 'detector', 'baseline'.

    Raises:
        RunError: there is none, or it is of the other stage.
    """
    places = [Path(text), Path(text) / "latest", Path(runs_folder) / text / "latest", Path(runs_folder) / text]
    begun = [file.parent for file in (Path(runs_folder) / text).glob("*/config.yaml")]  # none was finished, then
    places += sorted(begun, key=lambda folder: folder.stat().st_mtime)[-1:]
    wanted = " or ".join(stages)
    for folder in places:
        run = Run(folder.resolve())
        if not run.settings_file.is_file():
            continue
        found = run.read_settings().get("stage", {}).get("name")
        if found not in stages:
            raise RunError(f"{text} is a run of stage {found}; wanted: stage {wanted}.")
        return run
    known = sorted(str(path.parent) for path in Path(runs_folder).glob("*/latest"))
    raise RunError(
        f"no {wanted} run at {text!r} (looked for config.yaml in {', '.join(map(str, places))}). Known runs: "
        f"{', '.join(known) or 'none'}. Train one first: anomask train stage={stages[0]} ..."
    )
