"""Scoring a test set with a trained run, and comparing two runs that were scored on the same slices."""
