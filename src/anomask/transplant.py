"""Write a data folder of real lesions in real normal slices."""

import logging
from pathlib import Path

import hydra
from omegaconf import DictConfig

from anomask.config import CONF_FOLDER, plain, register
from anomask.data.transplant_set import Recipe, write_transplants
from anomask.entry import user_errors

log = logging.getLogger(__name__)
register()


@hydra.main(version_base="1.3", config_path=str(CONF_FOLDER), config_name="transplant")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/transplant.yaml and the command line, and write the folder."""
    with user_errors():
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
    main()
