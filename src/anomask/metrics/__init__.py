"""Localisation and detection metrics with intervals; torchmetrics where it is right and affordable."""
