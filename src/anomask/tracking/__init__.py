"""Weights & Biases: training runs and evaluations, with or without a network. W&B is imported here alone."""
