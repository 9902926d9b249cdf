"""Show the jobs of a sweep on one page: what differs between them, against the validation score; imports no torch."""

import glob
import logging
import os
from pathlib import Path

from anomask.errors import RunError, did_you_mean
from anomask.files import write_text
from anomask.report.sweep.jobs import linked_jobs, read_job
from anomask.report.sweep.page import page, summary
from anomask.settings.key import HARMLESS
from anomask.settings.schema import SweepConfig

log = logging.getLogger(__name__)

NO_SETTINGS = (*HARMLESS, "name")  # a job's name is the head of its row
MOST_NAMED = 20  # sweeps in an error


def summarise(config: SweepConfig) -> Path:
    """Write the page of a sweep, of its jobs as they are now.

    Args:
        config: see `conf/sweep.yaml`.

    Returns:
        the page

    Raises:
        RunError: there is no such sweep, or it has no jobs.
    """
    sweeps = Path(config.runs) / "sweeps"
    if not config.sweep:
        raise RunError(f"no sweep is named; use sweep=<label>. {_known(sweeps)}")
    places = (sweeps / config.sweep, Path(config.sweep))
    folder = next((place for place in places if place.is_dir()), places[0])
    if config.runs_of:
        found = runs_like(config.runs_of, Path(config.runs))
        if not found:
            raise RunError(f"no run in {config.runs} is called {config.runs_of!r}: names may hold * and ?.")
    elif not folder.is_dir():
        near = did_you_mean(config.sweep, (path.name for path in sweeps.glob("*")))
        raise RunError(f"no sweep {config.sweep!r}{near} (looked for {places[0]} and {places[1]}). {_known(sweeps)}")
    elif not (found := linked_jobs(folder)):
        raise RunError(f"{folder} has no jobs (wanted: links to run folders). {_known(sweeps)}")
    jobs = [read_job(name, path, NO_SETTINGS) for name, path in found]
    file = folder / "index.html"
    write_text(file, page(f"Sweep {folder.name}", jobs, folder))
    log.info("%s", summary(jobs))
    log.info("page: %s", file)
    return file


def runs_like(pattern: str, runs: Path) -> list[tuple[str, Path]]:
    """Find run folders by name: of a name's folder, the latest run.

    Args:
        pattern: names or <name>/<run> inside `runs`, with * and ?.
        runs: where run folders are kept.
    """
    found = []
    for name in sorted(glob.glob(pattern, root_dir=runs)):
        folder = runs / name
        # The folder itself, not the link: a later run must not change what the page's links lead to.
        latest = folder / os.readlink(folder / "latest") if (folder / "latest").is_symlink() else folder
        if (latest / "config.yaml").is_file():
            found.append((name, latest))
    return found


def _known(sweeps: Path) -> str:
    known = sorted(str(path) for path in sweeps.glob("*") if path.is_dir() and linked_jobs(path))
    named = ", ".join(known[:MOST_NAMED]) + (f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else "")
    return f"Known sweeps: {named or 'none'}. Start one: anomask train -m sweep=<label> ..."
