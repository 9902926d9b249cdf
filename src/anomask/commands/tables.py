"""Build a table of the paper from result records alone."""

import sys

from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command


@command("tables")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/tables.yaml and the command line, and build the table."""
    from anomask.sweeps.table import build

    build(config)


if __name__ == "__main__":
    cli.main(["tables", *sys.argv[1:]])
