"""Random numbers that depend on where a run is, not on what it did before: a resumed run draws the same ones."""

import numpy as np
import torch
from torch import Tensor

from anomask.synthesis.draws import SliceDraws


def step_seed(*place: int) -> int:
    """Mix whole numbers (seed, step, rank, ...) into one 63-bit seed."""
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1)


def step_generator(*place: int) -> torch.Generator:
    """Return a CPU generator that is a function of `place` alone."""
    return torch.Generator().manual_seed(step_seed(*place))


def slice_draws(rows: Tensor, *place: int) -> SliceDraws:
    """Return draws that are a function of `place` and each slice's row [B], whatever batch or process it is in."""
    return SliceDraws(step_seed(*place, row) for row in rows.tolist())
