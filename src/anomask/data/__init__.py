"""Slices on disk to batches: manifest, strict reading, splits by patient, the data modules and the phantom."""
