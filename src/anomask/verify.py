"""Check a data folder and its splits before anything is trained on it: every fault with its file and what to do."""

import logging
import sys
from pathlib import Path

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from anomask.config import CONF_FOLDER, register
from anomask.data.verification import Verification, verify_folder
from anomask.entry import user_errors
from anomask.errors import ConfigError
from anomask.report.verification import verification_text

log = logging.getLogger(__name__)
register()


def verify(config: DictConfig) -> Verification:
    """Check the data folder that the settings name, and print what was found.

    Args:
        config: see `conf/verify.yaml`.

    Raises:
        ConfigError: no folder is named.
        DataError: there is no such folder.
    """
    if config.folder is not None:
        config.data.folder = config.folder
    if OmegaConf.is_missing(config.data, "folder"):
        raise ConfigError("no data folder is named. Use folder=<folder>, or data=<one of conf/data>.")
    data = instantiate(config.data, progress=config.progress, _convert_="all")
    data.prepare_data()
    memory = Path(config.paths.cache) / "fingerprints"
    verification = verify_folder(data.folder, data.on_mixed_size, memory, config.progress)
    sys.stdout.write(verification_text(verification, config.all))
    return verification


@hydra.main(version_base="1.3", config_path=str(CONF_FOLDER), config_name="verify")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/verify.yaml and the command line, and check; exit code 1 if there are errors."""
    with user_errors():
        verification = verify(config)
    if verification.errors:
        sys.exit(1)


if __name__ == "__main__":
    main()
