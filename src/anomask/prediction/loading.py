"""Opening a detector by what a user calls it: a run, one of its checkpoints, or an exported file."""

from pathlib import Path

from anomask.errors import ConfigError
from anomask.prediction.exported import is_exported, open_exported
from anomask.prediction.model import Model


def open_model(text: str, runs: str, checkpoint: str = "best", device: str = "cpu") -> Model:
    """Open a detector.

    Args:
        text: a file of `anomask export`, a run folder, a run's name, or a checkpoint file.
        runs: folder in which names are looked up.
        checkpoint: `best` or `last`, of a run.
        device: of a run, such as cpu or cuda:1; exported files run on the CPU.

    Raises:
        AnomaskError: there is none, it cannot be used, or not on this device.
    """
    if is_exported(text):
        if device != "cpu" or checkpoint != "best":
            raise ConfigError(
                f"{text} runs on the CPU and holds one checkpoint: leave out device={device} checkpoint={checkpoint}, "
                "or use the run folder."
            )
        return open_exported(Path(text))
    from anomask.build import require_device  # with Lightning and Hydra, which exported files do without
    from anomask.prediction.run_model import model_of
    from anomask.runs import find_run
    from anomask.runs.finding import checkpoint_in
    from anomask.runs.unfinished import require_finished

    require_device(device)
    run = find_run(text, runs, "detector", "baseline")
    checkpoint = checkpoint_in(text) or checkpoint
    return model_of(require_finished(run, checkpoint), checkpoint, device)
