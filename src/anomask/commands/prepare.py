"""Prepare slices for training: volumes (DICOM series, NIfTI, MetaImage) or images in, a data folder out."""

import logging
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
    from anomask.preparation.slices import told

    tally = prepare(plain(config))
    log.info(
        "%d slices written, left out: %s; %d units were finished before, %d are no axial CT, %d faults: %s",
        *(tally.written, told(tally.dropped), tally.kept, tally.skipped, len(tally.faults), config.output),
    )
    sys.exit(1 if tally.faults else 0)


if __name__ == "__main__":
    cli.main(["prepare", *sys.argv[1:]])
