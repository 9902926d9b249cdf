"""Losses of both stages, on tensors alone."""
