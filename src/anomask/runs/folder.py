"""A run folder: what its files are called, and how to find, write and reopen one."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from anomask.errors import RunError
from anomask.files import link_whole, remove_leftovers, write_json, write_text
from anomask.reading import read_json, read_yaml
from anomask.report.record.shapes import COST, FINGERPRINT, NORMAL_SCORES, SETTINGS, THRESHOLD, VALIDATION
from anomask.runs.checkpoints import digest, load_checkpoint, write_checkpoint
from anomask.runs.paths import RunPaths

log = logging.getLogger(__name__)

AGAIN = "Restore it, or train the run again."
OF_TRAINING = ("", "checkpoints", "pictures")  # the folders of a run that its training alone writes to
LOCK_WAIT = 10.0  # seconds; the workers of a process that was killed end within a few


@dataclass(frozen=True)
class Run(RunPaths):
    """One training run's folder: reading and writing what is in it."""

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
        return read_yaml(self.settings_file, SETTINGS, "Restore what anomask train wrote.")

    def load_checkpoint(self, which: str = "best") -> dict[str, Any]:
        """Load a checkpoint: `state_dict` and `settings`, plain values and tensors only.

        Raises:
            RunError: it is missing, cut off, or not one of ours.
        """
        file = self.checkpoint_file(which)
        if not file.is_file():
            found = sorted(path.stem for path in file.parent.glob("[!.]*.ckpt"))
            todo = f"continue it with: anomask train resume={self.folder}" if found else "train it again"
            raise RunError(
                f"no checkpoint {which!r} in {file.parent} (found: {', '.join(found) or 'none'}). The run has not "
                f"validated yet or was cut off; {todo}."
            )
        return load_checkpoint(file)

    def write_checkpoint(self, which: str, checkpoint: dict[str, Any]) -> None:
        """Write a checkpoint: `state_dict` and `settings`, plain values and tensors only."""
        write_checkpoint(self.checkpoint_file(which), checkpoint)

    def write_threshold(self, threshold: dict[str, Any]) -> None:
        """Write the decision thresholds with their meaning, see `anomask.report.record.threshold`."""
        write_json(self.threshold_file, threshold | {"best_sha256": digest(self.checkpoint_file("best"))})

    def read_threshold(self) -> dict[str, Any]:
        """Read the decision threshold, which was fixed with the best checkpoint.

        Raises:
            RunError: the run has none, or one that was fixed with other weights.
        """
        threshold = _read(self.threshold_file, THRESHOLD)
        if threshold is None:
            raise RunError(
                f"no threshold.json in {self.folder}: its training did not finish. Go on with: anomask train "
                f"resume={self.folder}"
            )
        if threshold.get("best_sha256", self._best()) != self._best():  # older runs did not write it
            raise RunError(
                f"{self.threshold_file} was fixed with other weights than checkpoints/best.ckpt: the training went on "
                f"and was cut off, or a file was replaced. Finish it: anomask train resume={self.folder}"
            )
        return threshold

    def write_normal_scores(self, scores: list[float]) -> None:
        """Write the slice scores of the validation normals, which place a new slice among them."""
        write_json(self.normal_scores_file, sorted(scores))

    def read_normal_scores(self) -> list[float] | None:
        """Read the scores of the validation normals in rising order, or None where the run did not write them."""
        scores = _read(self.normal_scores_file, NORMAL_SCORES)
        if scores is not None and (not scores or scores != sorted(scores)):
            raise RunError(f"{self.normal_scores_file} is damaged: it holds no scores in rising order. {AGAIN}")
        return scores

    def write_validation(self, monitor: str, mode: str, value: float) -> None:
        """Write the validation figure that chose the best checkpoint: searches look at it, never at test figures."""
        write_json(self.validation_file, {"monitor": monitor, "mode": mode, "value": value})

    def read_validation(self) -> dict[str, Any] | None:
        """Read the validation figure: monitor, mode ('min' or 'max') and value; None where the run has none."""
        return _read(self.validation_file, VALIDATION)

    def write_cost(self, about: dict[str, Any]) -> None:
        """Write what the training cost; the last file of a run, which is finished by it."""
        write_json(self.cost_file, about | {"best_sha256": digest(self.checkpoint_file("best"))})

    def read_cost(self) -> dict[str, Any] | None:
        """Read what the training cost, or None where the run did not write it."""
        return _read(self.cost_file, COST)

    def write_fingerprint(self, fingerprint: dict[str, Any]) -> None:
        """Write what the data of the training was, see `anomask.data.checks.fingerprint`."""
        write_json(self.fingerprint_file, fingerprint)

    def read_fingerprint(self) -> dict[str, Any] | None:
        """Read what the data of the training was, or None where it was not verified."""
        return _read(self.fingerprint_file, FINGERPRINT)

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
            for name in OF_TRAINING:
                remove_leftovers(self.folder / name)  # of a process that was killed while it wrote
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
        """Whether the run can be used: trained to the end, its best checkpoint whole, the threshold fixed with it."""
        return self.missing is None

    @property
    def missing(self) -> str | None:
        """What a run that cannot be used lacks, or None."""
        try:
            cost, best = self.read_cost(), self._best()
            if cost is None:
                return "its training has not ended"
            if "best_sha256" not in cost:  # older runs did not write it
                self.load_checkpoint("best")
            elif cost["best_sha256"] != best:
                return "checkpoints/best.ckpt is not what its training ended with"
            if self.read_settings().get("stage", {}).get("name") != "codebook":
                self.read_threshold()
        except RunError as error:
            return str(error)
        return None

    def _best(self) -> str | None:
        file = self.checkpoint_file("best")
        return digest(file) if file.is_file() else None

    def reopen(self) -> None:
        """Take the run for unfinished: its training goes on."""
        self.cost_file.unlink(missing_ok=True)

    @property
    def label(self) -> str:
        """The run's name and which of that name's runs it is."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    def link_latest(self) -> None:
        """Point ``latest`` beside this folder at it."""
        folder = self.folder.resolve()  # `latest` must not point at itself
        link_whole(folder.parent / "latest", Path(folder.name))


def _read(file: Path, shape: Any) -> Any:
    return read_json(file, shape, AGAIN) if file.is_file() else None
