"""A Hydra sweeper for jobs that are no grid: each line of a file is one job's overrides.

``anomask train -m hydra/sweeper=jobs hydra.sweeper.file=jobs.txt [overrides of all jobs]``; any launcher.
Hydra finds its plugins in the package ``hydra_plugins`` alone, hence this place.
"""

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import MISSING, DictConfig, OmegaConf

log = logging.getLogger(__name__)


@dataclass
class JobsConfig:
    """What `hydra.sweeper` holds."""

    _target_: str = "hydra_plugins.anomask_jobs.JobsSweeper"
    file: str = MISSING  # one job a line; empty lines and lines that begin with # are left out
    params: dict[str, str] | None = None  # the grid of an experiment file that a job names: the jobs take its place


ConfigStore.instance().store(group="hydra/sweeper", name="jobs", node=JobsConfig, provider="anomask")


class JobsSweeper(Sweeper):
    """Launches the jobs of a file in one go; a job that fails leaves the others alone."""

    def __init__(self, file: str, params: dict[str, str] | None = None) -> None:
        self.file = Path(file)
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Sequence[JobReturn]:
        """Launch every job with `arguments` before its own overrides.

        Raises:
            CompactHydraException: no file, no jobs in it, or jobs that failed.
        """
        from anomask.console.typed import as_typed  # not before a job file is read: Hydra imports every plugin

        verb = self.config.hydra.job.config_name
        jobs = [[*arguments, *(as_typed(verb, one) for one in job)] for job in read_jobs(self.file)]
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        self.validate_batch_is_legal(jobs)
        results = self.launcher.launch(jobs, initial_job_idx=0)
        failed = [job for job, result in zip(jobs, results, strict=True) if result.status != JobStatus.COMPLETED]
        if failed:
            raise CompactHydraException(
                f"{len(failed)} of {len(jobs)} jobs failed, the first: {shlex.join(failed[0])}. Their errors are above "
                "and in their folders; started again, the sweep does these alone."
            )
        return results


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
