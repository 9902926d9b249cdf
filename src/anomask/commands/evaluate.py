"""Score a test set once with a trained run, and write record, tables, overlays and page into its folder."""

import sys

from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command


@command("evaluate")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/evaluate.yaml and the command line, and evaluate."""
    from anomask.build import require_device
    from anomask.evaluation.evaluate import evaluate
    from anomask.runs import find_run
    from anomask.runs.finding import checkpoint_in
    from anomask.runs.unfinished import require_finished

    require_device(config.device)
    run = find_run(config.run, config.runs, "detector", "baseline")
    config.checkpoint = checkpoint_in(config.run) or config.checkpoint
    evaluate(config, require_finished(run, config.checkpoint))


if __name__ == "__main__":
    cli.main(["evaluate", *sys.argv[1:]])
