"""One training run from its settings to its finished folder: what precedes the fit, the fit, what follows it."""
