"""Unsupervised detection and localisation of lung disease in CT slices by anomaly mask synthesis."""

from pathlib import Path

__version__ = "0.1.0"

# `python -m anomask.train` is `anomask train`: scripts written for the former go on working.
__path__.append(str(Path(__file__).parent / "commands"))
