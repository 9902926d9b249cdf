"""A data folder on disk: layout, manifest, strict reading, hashes and splits, with every fault by name."""
