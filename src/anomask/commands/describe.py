"""Print what a detector is: what it learned from, its thresholds, its figures, its limits."""

import sys

from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command


@command("describe")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/describe.yaml and the command line, and print the card."""
    from anomask.prediction.card_text import card_text
    from anomask.prediction.loading import open_model

    sys.stdout.write(card_text(open_model(config.run, config.runs).card))


if __name__ == "__main__":
    cli.main(["describe", *sys.argv[1:]])
