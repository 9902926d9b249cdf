"""Predict new slices or volumes with a trained run: scores, maps, lesion candidates and a page to look at."""

import logging
import sys

from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command
from anomask.settings.compose import plain

log = logging.getLogger(__name__)


@command("predict")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/predict.yaml and the command line, and predict."""
    from anomask.prediction.loading import open_model
    from anomask.prediction.predict import check, predict
    from anomask.settings.schema import PredictConfig

    settings = PredictConfig(**plain(config))  # of a DictConfig `values` is a method
    check(settings)
    model = open_model(settings.run, settings.runs, settings.checkpoint, settings.device)
    folder, faults = predict(settings, model)
    log.info("look at: %s", folder / "index.html")
    if faults:
        log.error("%d slices or volumes could not be used, see above; the others were predicted.", len(faults))
        sys.exit(1)


if __name__ == "__main__":
    cli.main(["predict", *sys.argv[1:]])
