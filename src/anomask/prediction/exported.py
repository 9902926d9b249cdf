"""A detector in one ONNX file: networks, crops, mirror, smoothing and score, with its card in the file's metadata.

A file of somebody else runs no code: ONNX has operators alone, and the card is JSON that is checked.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from anomask.errors import ConfigError, RunError
from anomask.prediction.model import Card, Model, card_from

CARD_KEY = "anomask"  # of the metadata
SUFFIX = ".onnx"
INPUTS, OUTPUTS = ("image", "lung_mask"), ("anomaly_map", "score")
INSTALL = "pip install 'anomask[export]'"


def is_exported(path: str | Path) -> bool:
    """Say whether a path is named as an exported file is."""
    return Path(path).suffix.lower() == SUFFIX


def open_exported(file: Path) -> Model:
    """Open an exported file; it runs on the CPU.

    Args:
        file: of `anomask.prediction.export.export`.

    Raises:
        RunError: there is none, it is damaged, or it is no file of ours.
        ConfigError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(f"{file} needs onnxruntime: {INSTALL}.") from error
    if not file.is_file():
        raise RunError(f"no file {file}. Wanted: what anomask export wrote.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        text = session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
    except Exception as error:  # onnxruntime's own, of many kinds
        said = " ".join(str(error).split())[:200]
        raise RunError(f"{file} is damaged or no ONNX file ({said}). Export it again.") from error
    names = tuple(tuple(one.name for one in group) for group in (session.get_inputs(), session.get_outputs()))
    if text is None or names != (INPUTS, OUTPUTS):
        raise RunError(f"{file} is an ONNX file, but not one of anomask export.")
    card = _card(text, file)

    def see(image: Tensor, lung_mask: Tensor) -> tuple[Tensor, Tensor]:
        given = dict(zip(INPUTS, (image.numpy().astype(np.float32), lung_mask.numpy()), strict=True))
        try:
            anomaly_map, score = session.run(OUTPUTS, given)
        except Exception as error:  # as above
            said = " ".join(str(error).split())[:200]
            raise RunError(f"{file} is damaged: its graph does not do what its card says ({said}).") from error
        return torch.from_numpy(anomaly_map), torch.from_numpy(score)

    return Model(card, see, file.with_name(f"{file.stem}_predictions"))


def _card(text: str, file: Path) -> Card:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise RunError(f"{file} is damaged: its card is no JSON. Export it again.") from error
    return card_from(values, file)
