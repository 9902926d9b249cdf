"""Drawn patients with exact lesion masks, for teaching and tests; scores on them say nothing of patients."""
