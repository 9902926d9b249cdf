"""Hydra sweepers in which each job's fault is its own: a grid (the default of training), and the jobs of a file.

``anomask train -m key=a,b ...`` is a grid. ``anomask train -m hydra/sweeper=jobs hydra.sweeper.file=jobs.txt
[overrides of all jobs]``: each line of the file is one job's overrides. Any launcher.
Hydra finds its plugins in the package ``hydra_plugins`` alone, hence this place.
"""

import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import MISSING, DictConfig, OmegaConf

log = logging.getLogger(__name__)

MOST = 100  # as an exit code; what is above has other meanings


@dataclass
class GridConfig:
    """What `hydra.sweeper` holds for a grid."""

    _target_: str = "hydra_plugins.anomask_jobs.GridSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


@dataclass
class JobsConfig:
    """What `hydra.sweeper` holds for the jobs of a file."""

    _target_: str = "hydra_plugins.anomask_jobs.JobsSweeper"
    file: str = MISSING  # one job a line; empty lines and lines that begin with # are left out
    params: dict[str, str] | None = None  # the grid of an experiment file that a job names: the jobs take its place


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConfig, provider="anomask")
ConfigStore.instance().store(group="hydra/sweeper", name="jobs", node=JobsConfig, provider="anomask")


class Tolerant:
    """A launcher whose jobs fail alone; in the end the process leaves with the number of those that did.

    Args:
        launcher: what launches.
        folder: of the sweep, with a link to each job that was begun.
    """

    def __init__(self, launcher: Launcher, folder: str) -> None:
        self.launcher, self.folder = launcher, Path(folder)

    def launch(self, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Launch jobs, all of them whatever becomes of each.

        Raises:
            SystemExit: some failed; its code is their number.
        """
        if isinstance(self.launcher, BasicLauncher):  # it would end with the first folder that cannot be made
            results = [self._alone(job, initial_job_idx + index) for index, job in enumerate(jobs)]
        else:
            results = self.launcher.launch(jobs, initial_job_idx=initial_job_idx)
        if any(path.is_symlink() for path in self.folder.glob("*")):
            log.info("next: %s", shlex.join(["anomask", "sweep", f"sweep={self.folder}"]))
        failed = [pair for pair in zip(jobs, results, strict=True) if pair[1].status != JobStatus.COMPLETED]
        if failed:
            sys.stderr.write(
                f"{len(failed)} of {len(jobs)} jobs failed, the first: {shlex.join(failed[0][0])}\n"
                f"{''.join(f'  {_reason(result)}{chr(10)}' for _, result in failed)}"
                "Started again, the sweep does these alone.\n"
            )
            sys.exit(min(len(failed), MOST))
        return results

    def _alone(self, job: Sequence[str], index: int) -> JobReturn:
        try:
            return self.launcher.launch([job], initial_job_idx=index)[0]
        except Exception as error:
            log.error("%s: %s", type(error).__name__, error)
            return JobReturn(status=JobStatus.FAILED, _return_value=error)


class GridSweeper(BasicSweeper):
    """Hydra's own grid of jobs; one that fails leaves the others alone."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.launcher = Tolerant(self.launcher, config.hydra.sweep.dir)


class JobsSweeper(Sweeper):
    """Launches the jobs of a file in one go; a job that fails leaves the others alone."""

    def __init__(self, file: str, params: dict[str, str] | None = None) -> None:
        self.file = Path(file)
        self.config: DictConfig | None = None
        self.launcher: Tolerant | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher."""
        self.hydra_context, self.config = hydra_context, config
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.launcher = Tolerant(launcher, self.config.hydra.sweep.dir)

    def sweep(self, arguments: list[str]) -> Any:
        """Launch every job with `arguments` before its own overrides.

        Raises:
            CompactHydraException: no file, or no jobs in it.
            SystemExit: some failed; its code is their number.
        """
        from anomask.console.typed import as_typed  # not before a job file is read: Hydra imports every plugin
        from anomask.settings.compose import SUFFIX

        verb = self.config.hydra.job.config_name.removesuffix(SUFFIX)
        jobs = [[*arguments, *(as_typed(verb, one) for one in job)] for job in read_jobs(self.file)]
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        self.validate_batch_is_legal(jobs)
        return self.launcher.launch(jobs, initial_job_idx=0)


def read_jobs(file: Path) -> list[list[str]]:
    """Read the overrides of every job.

    Raises:
        CompactHydraException: no such file, or no jobs in it.
    """
    if not file.is_file():
        raise CompactHydraException(
            f"no jobs file {file} (hydra.sweeper.file): one job a line, overrides split by spaces."
        )
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    jobs = [shlex.split(line) for line in lines if line and not line.startswith("#")]
    if not jobs:
        raise CompactHydraException(f"no jobs in {file}: wanted is one job a line, overrides split by spaces.")
    return jobs


def _reason(result: JobReturn) -> str:
    error = result._return_value
    known = isinstance(error, CompactHydraException)
    return " ".join(str(error).split()) if known else f"{type(error).__name__}: {' '.join(str(error).split())}"
