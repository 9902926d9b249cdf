"""Predict new slices or volumes with a trained run: scores, maps, lesion candidates and a page to look at."""

import logging
import sys

from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command

log = logging.getLogger(__name__)


@command("predict")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/predict.yaml and the command line, and predict."""
    from anomask.build import require_device
    from anomask.prediction.predict import predict
    from anomask.runs import find_run
    from anomask.runs.finding import checkpoint_in

    require_device(config.device)
    run = find_run(config.run, config.runs, "detector", "baseline")
    config.checkpoint = checkpoint_in(config.run) or config.checkpoint
    folder, faults = predict(config, run)
    log.info("results: %s (look at index.html)", folder)
    if faults:
        log.error("%d slices or volumes could not be used, see above; the others were predicted.", len(faults))
        sys.exit(1)


if __name__ == "__main__":
    cli.main(["predict", *sys.argv[1:]])
