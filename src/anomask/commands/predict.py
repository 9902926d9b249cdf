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
    from anomask.build import require_device
    from anomask.prediction.predict import predict
    from anomask.runs import find_run
    from anomask.runs.finding import checkpoint_in
    from anomask.runs.unfinished import require_finished
    from anomask.settings.schema import PredictConfig

    require_device(config.device)
    run = find_run(config.run, config.runs, "detector", "baseline")
    config.checkpoint = checkpoint_in(config.run) or config.checkpoint
    settings = PredictConfig(**plain(config))  # of a DictConfig `values` is a method
    folder, faults = predict(settings, require_finished(run, config.checkpoint))
    log.info("look at: %s", folder / "index.html")
    if faults:
        log.error("%d slices or volumes could not be used, see above; the others were predicted.", len(faults))
        sys.exit(1)


if __name__ == "__main__":
    cli.main(["predict", *sys.argv[1:]])
