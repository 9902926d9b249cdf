"""From files to batches: decoded slices, cache, loader and data module of training; inputs of a prediction."""
