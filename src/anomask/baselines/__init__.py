"""Comparison methods: one file each, all behind the few lines of `anomask.baselines.method.Baseline`."""
