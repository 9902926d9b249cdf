"""A training run in W&B: one W&B run for the whole life of a run folder, each step once, linked to its codebook."""

import re
from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

import wandb
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from anomask.files import write_json
from anomask.reading import read_json
from anomask.report.record.shapes import WANDB
from anomask.runs.commit import current_commit
from anomask.runs.folder import Run
from anomask.tracking.client import going_on, new_id, place_of, require_names, start


class About(TypedDict, total=False):
    """What `wandb.init` takes from a user; everything else of a run is set here."""

    project: str
    entity: str | None
    group: str | None
    job_type: str | None
    name: str | None
    notes: str | None
    tags: list[str] | None
    save_code: bool | None


class TrainingLogger(WandbLogger):
    """Lightning's W&B logger for a run folder.

    The folder's ``wandb.json`` holds the id of the W&B run and the highest step given to it. A resumed training takes
    both up: it is the same W&B run, and the steps between the checkpoint and the crash are not logged again.

    All values of a step are one row, whose ``_step`` is the optimiser's step, from 0 as Lightning counts it. A row goes
    to W&B when the next one begins, and before the training goes on from a checkpoint: a resumed training logs the
    step in which the crash was, and a step before the checkpoint is never lost.

    Args:
        settings: the run's settings, all of them: W&B's config.
        run: the run folder.
        goes_on: whether the folder's W&B run, if it has one, is taken up.
        codebook: the run whose codebook this one stands on, or None.
        offline: whether nothing is sent.
        about: what else `wandb.init` takes.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        run: Run,
        goes_on: bool,
        codebook: Run | None,
        offline: bool,
        **about: Unpack[About],
    ) -> None:
        earlier = wandb_note(run) if goes_on else None
        self.note = earlier or {"id": new_id(), "step": -1}
        self.run, self.is_codebook = run, settings["stage"]["name"] == "codebook"
        self.logged = self.step = self.note["step"]
        self.row: dict[str, Any] = {}
        experiment = None
        if rank_zero_only.rank == 0:
            write_json(run.wandb_file, self.note)
            config = settings | facts(run, codebook)
            about = about | {"id": self.note["id"], "resume": "allow", "config": config, "allow_val_change": True}
            experiment = start(offline, run.folder, **about)
        super().__init__(project=about.get("project"), save_dir=str(run.folder), experiment=experiment)
        if codebook is not None:
            self._use(codebook)

    @staticmethod
    def check(node: dict[str, Any]) -> None:
        """Make sure that W&B can use these names.

        Raises:
            ConfigError: it cannot.
        """
        require_names(project=node.get("project"), entity=node.get("entity"))

    @property
    def place(self) -> str:
        """Where W&B's part of this training is."""
        return place_of(self.experiment, self.run.folder)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add values to the row of a step, unless this W&B run has that step from before a crash."""
        step = self.step if step is None else step
        if step <= self.logged:
            return
        step = max(step, self.note["step"] + 1)  # what comes after the checkpoint of its step joins the next row
        if step > self.step:
            self._send()
            self.step = step
        self.row |= metrics

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Send the row of the step that a resumed training will not come back to."""
        self._send()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Send the last row."""
        self._send()

    @rank_zero_only
    def close(self) -> None:
        """End the W&B run of a training that succeeded; that of a codebook gets its checkpoint as an artefact."""
        with going_on():
            if self.is_codebook:
                self.experiment.log_artifact(artefact_of(self.run))
        with going_on():
            self.experiment.finish()

    def _send(self) -> None:
        row, self.row = self.row, {}
        if row:
            with going_on():
                self.note["step"] = self.step
                write_json(self.run.wandb_file, self.note)  # first: a crash here may cost a row, but never repeats one
                self.experiment.log(row, step=self.step, commit=True)

    @rank_zero_only
    def _use(self, codebook: Run) -> None:
        """Link the codebook's artefact as an input.

        W&B knows it by its content: if the codebook's own run has uploaded it, this links to that version, otherwise
        this uploads it. `use_artifact`, which does the same, waits for the upload and refuses offline runs.
        """
        with going_on():
            self.experiment._log_artifact(artefact_of(codebook), is_user_created=True, use_after_commit=True)


def wandb_note(run: Run) -> dict[str, Any] | None:
    """Read the `id` of a run's W&B run and the highest `step` given to it, or None where it has none."""
    again = "Restore it, or remove it: a new W&B run is begun then."
    return read_json(run.wandb_file, WANDB, again) if run.wandb_file.is_file() else None


def artefact_of(codebook: Run) -> wandb.Artifact:
    """Return a codebook's best checkpoint as an artefact; the same checkpoint is the same version of it."""
    name = re.sub(r"[^\w.-]+", "-", f"codebook-{codebook.read_settings()['name']}")
    artefact = wandb.Artifact(name, type="model", metadata={"run": str(codebook.folder), **_link(codebook)})
    file = codebook.checkpoint_file("best").resolve()
    artefact.add_file(str(file), name="best.ckpt", policy="immutable", skip_cache=True)  # no copy: it stays as it is
    return artefact


def facts(run: Run, codebook: Run | None) -> dict[str, Any]:
    """Return what belongs to W&B's config beside the settings: code, data, and the codebook's own W&B run."""
    fingerprint = run.read_fingerprint() or {}
    about = {"commit": current_commit(), "data_sha256": fingerprint.get("sha256")}
    return about if codebook is None else about | {"codebook": {"run": str(codebook.folder), **_link(codebook)}}


def _link(run: Run) -> dict[str, str]:
    note = wandb_note(run)
    return {} if note is None else {"wandb_run": note["id"]}
