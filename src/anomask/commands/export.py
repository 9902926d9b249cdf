"""Write a trained detector as one ONNX file, equal to its checkpoint."""

import logging
import sys
from pathlib import Path

from omegaconf import DictConfig

from anomask.commands import cli
from anomask.commands.entry import command
from anomask.errors import ConfigError

log = logging.getLogger(__name__)


@command("export")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/export.yaml and the command line, and export."""
    from anomask.prediction.export import export
    from anomask.prediction.exported import is_exported
    from anomask.runs import find_run
    from anomask.runs.finding import checkpoint_in
    from anomask.runs.next_command import command as next_command
    from anomask.runs.next_command import say_next
    from anomask.runs.unfinished import require_finished

    run = find_run(config.run, config.runs, "detector", "baseline")
    checkpoint = checkpoint_in(config.run) or config.checkpoint
    file = Path(config.output or f"{Path(run.read_settings()['name']).name}.onnx")
    if not is_exported(file):
        raise ConfigError(f"output is {file}; the name of a file that ends in .onnx is wanted.")
    export(require_finished(run, checkpoint), checkpoint, file)
    log.info("%s: %.1f MB", file, file.stat().st_size / 1e6)
    say_next(next_command("describe", f"run={file}"))


if __name__ == "__main__":
    cli.main(["export", *sys.argv[1:]])
