"""Prepare slices for training: volumes (DICOM series, NIfTI, MetaImage) or images in, a data folder out."""

import logging
import shlex
import sys

from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command
from anomask.settings.compose import plain

log = logging.getLogger(__name__)


@command("prepare")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/prepare.yaml and the command line, and prepare."""
    from anomask.preparation.prepare import prepare

    tally = prepare(plain(config))
    log.info("%s", tally.told(config.output))
    if tally.faults:
        sys.exit(1)
    log.info("next: %s", shlex.join(["anomask", "fit", f"folder={config.output}"]))


if __name__ == "__main__":
    cli.main(["prepare", *sys.argv[1:]])
