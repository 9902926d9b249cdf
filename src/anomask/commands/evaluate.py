"""Score a test set once with a trained run, and write record, tables, overlays and page into its folder."""

import sys

from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command


@command("evaluate")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/evaluate.yaml and the command line, and evaluate."""
    from anomask.evaluation.evaluate import evaluate
    from anomask.runs.folder import find_run
    from anomask.runs.unfinished import require_finished

    evaluate(config, require_finished(find_run(config.run, config.runs, "detector", "baseline")))


if __name__ == "__main__":
    cli.main(["evaluate", *sys.argv[1:]])
