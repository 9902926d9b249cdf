"""From a data folder to an evaluated detector, in one command."""

import sys

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command


@command("fit")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/fit.yaml and the command line, and do what is not done yet."""
    from anomask.training.both_stages import fit

    fit(config, list(HydraConfig.get().overrides.task))


if __name__ == "__main__":
    cli.main(["fit", *sys.argv[1:]])
