"""Dice of whole patients and of surfaces: what papers on segmentation report."""

from statistics import fmean, stdev

import numpy as np
import torch
from torch import Tensor

SURFACE_PX = 3.0  # pixels of the map that a surface may lie off


class PatientDice:
    """Lesion and called pixels of each patient, over all of their slices.

    A patient's normal slices count with what is called in them, where the test set has any.
    """

    def __init__(self) -> None:
        self.held: dict[str, np.ndarray] = {}  # patient -> [3]: found lesion pixels, lesion pixels, called pixels

    def add(self, patient: str, called: Tensor, lesion: Tensor) -> None:
        """Add a slice: which of its pixels are called anomalous, and which are lesions, bool of one shape."""
        counts = np.array([int((called & lesion).sum()), int(lesion.sum()), int(called.sum())])
        self.held[patient] = self.held.get(patient, 0) + counts

    @staticmethod
    def figures(parts: list["PatientDice"], normals: "PatientDice | None") -> dict[str, float | int | None]:
        """Return the mean and standard deviation of Dice over patients with a lesion, and their number.

        Args:
            parts: of several diseases.
            normals: of normal slices.
        """
        whole: dict[str, np.ndarray] = {}
        for part in [*parts, *([normals] if normals else [])]:
            for patient, counts in part.held.items():
                whole[patient] = whole.get(patient, 0) + counts
        dice = [float(2 * hits / (true + called)) for hits, true, called in whole.values() if true]
        spread = stdev(dice) if len(dice) > 1 else None
        return {"mean": fmean(dice) if dice else None, "sd": spread, "n_patients": len(dice)}


def surface_dice(called: Tensor, lesion: Tensor) -> float | None:
    """Return the share of both surfaces that lies within `SURFACE_PX` of the other (Nikolov 2021); None without lesion.

    Args:
        called, lesion: [H, W] bool
    """
    if not bool(lesion.any()):
        return None
    if not bool(called.any()):
        return 0.0
    from monai.metrics import compute_surface_dice  # MONAI takes seconds to import

    one, other = (torch.stack([~mask, mask])[None].float() for mask in (called, lesion))
    return float(compute_surface_dice(one, other, [SURFACE_PX]))
