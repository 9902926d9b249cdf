"""Write one data folder with the training normals of several."""

import logging
import sys
from pathlib import Path

from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command
from anomask.runs.next_command import command as command_line
from anomask.runs.next_command import say_next
from anomask.settings.compose import plain

log = logging.getLogger(__name__)


@command("pool")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/pool.yaml and the command line, and write the folder."""
    from anomask.data.folder.pool import write_pool

    settings = plain(config)
    counts = write_pool([Path(folder) for folder in settings["folders"]], Path(settings["output"]))
    listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
    log.info("%d normal slices in %s: %s", sum(counts.values()), settings["output"], listed)
    say_next(command_line("train", "experiment=detector", "data=pooled", f"data.folder={settings['output']}"))


if __name__ == "__main__":
    cli.main(["pool", *sys.argv[1:]])
