"""Run a model of another library in its own environment, and make an ordinary baseline run of its maps."""

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command
from anomask.settings.compose import plain


@command("external")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/external.yaml and the command line, and run the model."""
    from anomask.runs.folder import Run
    from anomask.training.external import run_external

    run_external(plain(config), Run(Path(HydraConfig.get().runtime.output_dir)))


if __name__ == "__main__":
    cli.main(["external", *sys.argv[1:]])
