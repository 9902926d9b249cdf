"""Make the records that a table lacks: codebooks, then the missing runs as one multirun, then their evaluations."""

import logging
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose

from anomask.data.checks.fingerprint import content_hash
from anomask.data.folder.manifest import read_folder
from anomask.errors import RunError
from anomask.files import whole_file, write_text
from anomask.report.tables.rows import chosen_rows
from anomask.runs.evaluations import find_evaluation
from anomask.runs.folder import Run
from anomask.settings.compose import plain
from anomask.settings.key import settings_key
from anomask.settings.schema import ReproduceConfig
from anomask.sweeps.job import find_finished

log = logging.getLogger(__name__)

KEPT = ("scores.csv", "pixels_slice.npz", "pixels_lung.npz", "record.json")  # the record last: with it a row is there


class Job(NamedTuple):
    """A row of a table with one seed: a run, its evaluation, and where the record goes."""

    overrides: list[str]  # of anomask train
    codebook: list[str]  # overrides of the stage 1 beside it
    settings: dict[str, Any]
    folder: str | None  # evaluated on this data folder; None is the run's own
    record: Path

    @property
    def run(self) -> Run:
        """The finished run with these settings, or the one that is to be."""
        folder = Path(self.settings["paths"]["runs"]) / self.settings["name"] / settings_key(self.settings)
        planned = Run(folder.absolute())
        return find_finished(planned) or planned

    @property
    def evaluation(self) -> Path | None:
        """The folder of the run's evaluation on what the data folder holds today, or None."""
        data = Path(self.folder or self.settings["data"]["folder"])
        if not data.is_dir() or not self.run.evaluation_folder("").is_dir():
            return None
        return find_evaluation(self.run, content_hash(read_folder(data)))


def results_folder(config: ReproduceConfig) -> Path:
    """Return where the records of the evaluated data go."""
    return Path(config.results) / (Path(config.folder).name if config.folder else config.dataset)


def jobs_of(config: ReproduceConfig) -> list[Job]:
    """Return a job for every row of the table and every seed."""
    found = []
    results = results_folder(config)
    for seed in range(config.seeds):
        common = [f"data={config.dataset}", f"seed={seed}"]
        for key, row in config.paper_table.rows.items():
            overrides, codebook = ([*shlex.split(text), *common] for text in (row.run, row.codebook))
            settings = plain(compose("train", [*overrides, *launch_settings(config)]))
            record = results / key / f"seed{seed}" / "record.json"
            found.append(Job(overrides, codebook, settings, config.folder, record))
    return found


def chosen(config: ReproduceConfig, jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs of the rows that are asked for.

    Raises:
        ConfigError: a row that the table does not have.
    """
    table = config.paper_table
    keys = chosen_rows(list(table.rows), config.rows, table.number)
    return [job for job in jobs if job.record.parent.parent.name in keys]


def with_sources(missing: Sequence[Job], jobs: Sequence[Job]) -> list[Job]:
    """Return the missing jobs and, before them, those whose weights they take."""
    wanted = {job.settings["weights_run"] for job in missing} - {None}
    return [job for job in jobs if job in missing or job.settings["name"] in wanted]


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
    jobs = jobs_of(config)
    wanted = chosen(config, jobs)
    missing = [job for job in wanted if not job.record.is_file()]
    for job in missing:
        log.info("missing: %s  (%s)", job.record, shlex.join(job.overrides))
    log.info("%d of %d records of table %d are missing", len(missing), len(wanted), config.paper_table.number)
    if config.dry or not missing:
        return []
    folder = Path(config.paths.runs) / "sweeps" / config.sweep
    needed = with_sources(missing, jobs)
    trained = [job for job in needed if not job.settings["weights_run"]]
    launch = shlex.split(config.launch)
    # Codebooks are a sweep of their own: on the page of this one, a codebook's settings would differ from all others.
    Launcher("train", folder, [f"sweep={config.sweep}_codebooks", *launch])("codebooks", codebook_jobs(trained))
    train = Launcher("train", folder, [f"sweep={config.sweep}", *launch])
    train("runs", [job.overrides for job in trained])
    train("rescored", [job.overrides for job in needed if job not in trained])
    others = [part for part in launch if part.startswith("hydra")]
    others += [f"folder={config.folder}"] if config.folder else []
    evaluate = Launcher("evaluate", folder, [f"runs={config.paths.runs}", *others])
    evaluate("evaluations", [[f"run={job.run.folder}"] for job in missing if job.evaluation is None])
    return [keep(job) for job in missing]


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
        command = [sys.executable, "-m", "anomask", self.entry, "-m", "hydra/sweeper=jobs"]
        command += [f"hydra.sweeper.file={file}", *self.common]
        log.info("%s: %d jobs: %s", name, len(jobs), shlex.join(command))
        if subprocess.run(command, check=False).returncode:
            raise RunError(
                f"jobs of {file} failed; their errors are above. Started again, what is done is not repeated."
            )


def keep(job: Job) -> Path:
    """Copy a run's record, scores and pixel histograms to the results."""
    source = job.evaluation
    if source is None:
        raise RunError(f"no evaluation in {job.run.folder}. Evaluate it: anomask evaluate run={job.run.folder}")
    for name in KEPT:
        if (source / name).is_file():
            with whole_file(job.record.with_name(name)) as file:
                file.write_bytes((source / name).read_bytes())
    return job.record
