"""Compare two evaluated runs on the same slices: paired bootstrap differences with p-values."""

import logging
import sys

from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command

log = logging.getLogger(__name__)


@command("compare")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/compare.yaml and the command line, and compare."""
    from anomask.evaluation.compare import compare
    from anomask.runs import find_run

    first, second = (find_run(name, config.runs, "detector", "baseline") for name in (config.first, config.second))
    log.info("results: %s", compare(first, second, config))


if __name__ == "__main__":
    cli.main(["compare", *sys.argv[1:]])
