"""Show the jobs of a sweep on one page: what differs between them, against the validation score."""

import sys

from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command


@command("sweep")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/sweep.yaml and the command line, and write the page."""
    from anomask.sweeps.summarise import summarise

    summarise(config)


if __name__ == "__main__":
    cli.main(["sweep", *sys.argv[1:]])
