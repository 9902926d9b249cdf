"""Write a data folder of real lesions in real normal slices."""

import logging
import sys
from pathlib import Path

from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command
from anomask.settings.compose import plain

log = logging.getLogger(__name__)


@command("transplant")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/transplant.yaml and the command line, and write the folder."""
    from anomask.data.transplants.dataset import Recipe, write_transplants

    settings = plain(config)
    folder = Path(settings["output"])
    recipe = Recipe(
        Path(settings["hosts"]),
        tuple(map(Path, settings["donors"])),
        settings["half"],
        settings["validation_share"],
        tuple(settings["scales"]),
        settings["strengths"],
        settings["seed"],
    )
    count = write_transplants(recipe, folder, settings["progress"])
    log.info("%d transplants in %s", count, folder)


if __name__ == "__main__":
    cli.main(["transplant", *sys.argv[1:]])
