"""Make the records that a table lacks: codebooks, then the missing runs as one multirun, then their evaluations."""

import logging
import sys
from typing import Any

from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command

log = logging.getLogger(__name__)


def __getattr__(name: str) -> Any:
    """Return what scripts from before import from here."""
    if name != "Job":
        raise AttributeError(name)
    from anomask.sweeps.reproduce import Job

    return Job


@command("reproduce")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/reproduce.yaml and the command line, and make the missing records."""
    from anomask.sweeps.reproduce import reproduce, results_folder

    made = reproduce(config)
    build = f"anomask tables paper_table=t{config.paper_table.number} records={results_folder(config)}"
    build += f" 'rows=[{','.join(config.rows)}]'" if config.rows else ""
    log.info("%d records made. Build the table: %s", len(made), build)


if __name__ == "__main__":
    cli.main(["reproduce", *sys.argv[1:]])
