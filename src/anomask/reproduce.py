"""Make the records that a table lacks: codebooks, then the missing runs as one multirun, then their evaluations."""

import logging
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra import compose
from omegaconf import DictConfig

from anomask.config import CONF_FOLDER, plain, register, settings_key
from anomask.entry import user_errors
from anomask.errors import RunError
from anomask.files import whole_file, write_text
from anomask.jobs import find_finished
from anomask.runs import Run
from anomask.schemas import ReproduceConfig

log = logging.getLogger(__name__)
register()

KEPT = ("scores.csv", "pixels_slice.npz", "pixels_lung.npz", "record.json")  # the record last: with it a row is there


class Job(NamedTuple):
    """A run that a table lacks."""

    overrides: list[str]  # of anomask.train
    codebook: list[str]  # overrides of the stage 1 beside it
    settings: dict[str, Any]
    record: Path  # where its record goes

    @property
    def run(self) -> Run:
        """The finished run with these settings, or the one that is to be."""
        folder = Path(self.settings["paths"]["runs"]) / self.settings["name"] / settings_key(self.settings)
        planned = Run(folder.absolute())
        return find_finished(planned) or planned


def missing_jobs(config: ReproduceConfig) -> Iterator[Job]:
    """Yield a job for every record of the table that is not there, seed by seed."""
    for seed in range(config.seeds):
        common = [f"data={config.dataset}", f"seed={seed}"]
        for key, row in config.paper_table.rows.items():
            record = Path(config.results) / config.dataset / key / f"seed{seed}" / "record.json"
            if not record.is_file():
                overrides = [*shlex.split(row.run), *common]
                settings = plain(compose("train", [*overrides, *launch_settings(config)]))
                yield Job(overrides, [*shlex.split(row.codebook), *common], settings, record)


def launch_settings(config: ReproduceConfig) -> list[str]:
    """Return those overrides of every launch that are settings of the run, not Hydra's own."""
    return [part for part in shlex.split(config.launch) if not part.startswith("hydra")]


def codebook_jobs(jobs: Sequence[Job]) -> list[list[str]]:
    """Return the overrides of the codebooks that jobs stand on, each once."""
    found = {}
    for job in jobs:
        name = job.settings["codebook_run"]
        if name and not job.settings["weights_run"]:
            found[name] = ["experiment=codebook", f"name={name}", *job.codebook]
    return list(found.values())


def reproduce(config: ReproduceConfig) -> list[Path]:
    """Make what a table lacks.

    Args:
        config: see `conf/reproduce.yaml`.

    Returns:
        the records made

    Raises:
        RunError: jobs that failed; everything that is done stays and is not done again.
    """
    jobs = list(missing_jobs(config))
    for job in jobs:
        log.info("missing: %s  (%s)", job.record, shlex.join(job.overrides))
    if config.dry or not jobs:
        log.info("%d of table %d missing", len(jobs), config.paper_table.number)
        return []
    folder = Path(config.paths.runs) / "sweeps" / config.sweep
    trained = [job for job in jobs if not job.settings["weights_run"]]
    rescored = [job for job in jobs if job.settings["weights_run"]]
    train = Launcher("train", folder, [f"sweep={config.sweep}", *shlex.split(config.launch)])
    train("codebooks", codebook_jobs(trained))
    train("runs", [job.overrides for job in trained])
    train("rescored", [job.overrides for job in rescored])
    hydra_only = [part for part in shlex.split(config.launch) if part.startswith("hydra")]
    evaluate = Launcher("evaluate", folder, [f"runs={config.paths.runs}", *hydra_only])
    evaluate("evaluations", [[f"run={job.run.folder}"] for job in jobs if evaluation_of(job) is None])
    return [keep(job) for job in jobs]


class Launcher(NamedTuple):
    """Launches jobs of one entry as one multirun."""

    entry: str
    folder: Path
    common: list[str]

    def __call__(self, name: str, jobs: Sequence[Sequence[str]]) -> None:
        """Launch the jobs, or nothing where there are none.

        Raises:
            RunError: some failed.
        """
        if not jobs:
            return
        file = self.folder / f"{name}.txt"
        write_text(file, "".join(f"{shlex.join(job)}\n" for job in jobs))
        command = [sys.executable, "-m", f"anomask.{self.entry}", "-m", "hydra/sweeper=jobs"]
        command += [f"hydra.sweeper.file={file}", *self.common]
        log.info("%s: %d jobs: %s", name, len(jobs), shlex.join(command))
        if subprocess.run(command, check=False).returncode:
            raise RunError(
                f"jobs of {file} failed; their errors are above. Started again, what is done is not repeated."
            )


def evaluation_of(job: Job) -> Path | None:
    """Return the folder of the run's evaluation on its own data, or None."""
    folder = job.run.evaluation_folder(Path(job.settings["data"]["folder"]).name)
    return folder if (folder / "record.json").is_file() else None


def keep(job: Job) -> Path:
    """Copy a run's record, scores and pixel histograms to the results."""
    source = evaluation_of(job)
    if source is None:
        raise RunError(
            f"no evaluation in {job.run.folder}. Evaluate it: python -m anomask.evaluate run={job.run.folder}"
        )
    for name in KEPT:
        if (source / name).is_file():
            with whole_file(job.record.with_name(name)) as file:
                file.write_bytes((source / name).read_bytes())
    return job.record


@hydra.main(version_base="1.3", config_path=str(CONF_FOLDER), config_name="reproduce")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/reproduce.yaml and the command line, and make the missing records."""
    with user_errors():
        made = reproduce(config)
        log.info(
            "%d records made. Build the table: make table%d DATA=%s",
            len(made),
            config.paper_table.number,
            config.dataset,
        )


if __name__ == "__main__":
    main()
