"""Write a detector as one ONNX file, and make sure that it detects what the checkpoint detects."""

import json
import logging
import warnings
from pathlib import Path
from types import ModuleType

import torch

from anomask.batches import SliceBatch
from anomask.build import Stage, open_stage
from anomask.errors import ConfigError, RunError
from anomask.files import whole_file
from anomask.prediction.exported import CARD_KEY, INPUTS, INSTALL, OUTPUTS, open_exported
from anomask.prediction.model import Card
from anomask.prediction.run_model import Seen, card_of
from anomask.runs.folder import Run
from anomask.scoring.looks import LooksAtOnce

log = logging.getLogger(__name__)

TOLERANCE = 1e-5  # of map values and scores, against the checkpoint
MOST_SLICES = 4096  # in a batch


def export(run: Run, checkpoint: str, file: Path) -> Card:
    """Write a detector as one file; the file appears whole or not at all.

    Args:
        run: finished.
        checkpoint: `best` or `last`.
        file: to write, ending in .onnx; one that is there is replaced.

    Returns:
        the card in the file

    Raises:
        RunError: the run cannot be opened, or its method cannot be written as ONNX with the same results.
        ConfigError: what writes ONNX is not installed.
    """
    onnx = _onnx()
    stage = open_stage(run, checkpoint)
    card = card_of(run, stage, checkpoint)
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as temporary:
        _write(stage, card, temporary, onnx)
        off = difference(stage, card, temporary)
        if not off <= TOLERANCE:
            raise RunError(
                f"the export of {run.folder} differs from its checkpoint by {off:.2g}, more than {TOLERANCE:.0e}: "
                "nothing was written. Use the run folder itself."
            )
    log.info("equal to the checkpoint within %.1e on slices of noise", off)
    return card


def _onnx() -> ModuleType:
    try:
        import onnx
        import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError as error:
        raise ConfigError(f"anomask export needs onnx and onnxscript: {INSTALL}.") from error
    return onnx


def _write(stage: Stage, card: Card, file: Path, onnx: ModuleType) -> None:
    looks = getattr(stage, "looks", None)
    if looks is not None:  # one pass of the network in the graph, not one for each look: a tenth of the file's nodes
        stage.looks = LooksAtOnce(looks.mirror, looks.crops)
    given = _noise(card, 2, 0)
    batch = torch.export.Dim("batch", min=1, max=MOST_SLICES)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # hundreds of lines on each step of the simplification
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(Seen(stage), given, dynamic_shapes=({0: batch}, {0: batch}), strict=False)
            written = torch.onnx.export(program, (), input_names=INPUTS, output_names=OUTPUTS, verbose=False)
        model = written.model_proto
    except Exception as error:  # torch's exporter raises whatever it meets
        said = " ".join(str(error).split())[:300]
        raise RunError(
            f"{card.name} cannot be written as ONNX ({type(error).__name__}: {said}). Use the run folder itself."
        ) from error
    finally:
        logging.disable(before)
        if looks is not None:
            stage.looks = looks
    onnx.helper.set_model_props(model, {CARD_KEY: json.dumps(card.plain())})
    file.write_bytes(model.SerializeToString())


def difference(stage: Stage, card: Card, file: Path) -> float:
    """Return the largest difference of map values and scores between a stage and its export, on batches of noise."""
    exported, found_off = open_exported(file), []
    for count in (1, 3):
        image, lung_mask = _noise(card, count, count)
        wanted = Seen(stage)(image, lung_mask)
        unknown = torch.zeros(count, dtype=torch.bool)
        batch = SliceBatch(image, torch.arange(count), lung_mask, lung_mask, unknown, unknown, torch.zeros(count, 3))
        found = exported.detect(batch)
        pairs = zip(wanted, (found.anomaly_map, found.score), strict=True)
        found_off += [(one - other).abs().max() for one, other in pairs]
    return float(torch.stack(found_off).max())  # NaN, where there is one


def _noise(card: Card, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(count, 1, card.size, card.size, generator=generator)
    return image, torch.rand(image.shape, generator=generator) < 0.5
