"""Unsupervised detection and localisation of lung disease in CT slices by anomaly mask synthesis."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anomask.prediction.detector import load as load

__version__ = "0.1.0"

# `python -m anomask.train` is `anomask train`: scripts written for the former go on working.
__path__.append(str(Path(__file__).parent / "commands"))


def __getattr__(name: str) -> Any:  # torch takes seconds to import, and `anomask --help` does without
    if name == "load":
        return import_module("anomask.prediction.detector").load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
