"""Unsupervised detection and localisation of lung disease in CT slices by anomaly mask synthesis."""

__version__ = "0.1.0"
