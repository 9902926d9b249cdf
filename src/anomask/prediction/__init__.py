"""New slices and volumes through a trained run."""
