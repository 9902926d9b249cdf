"""A method that was run elsewhere: its maps are kept, and found again by the slice they were drawn for."""

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anomask.baselines.method import Baseline
from anomask.errors import ExternalError

DIGEST_BYTES = 32


class ExternalMaps(Baseline):
    """The maps of a model of another library, which `anomask.libraries` trained and asked.

    Maps are looked up by the 8-bit slice itself, which is all that the other library was shown: the maps of one run
    can neither be mixed up between sets nor be taken for those of other slices.

    Args:
        library: where the model comes from.
        model: its class there.
        family: 'reconstruction', 'synthesis' or 'feature'.
        source: the publication.
        recipe: how it was built and trained; kept for the record.
    """

    def __init__(self, library: str, model: str, family: str, source: str, **recipe: Any) -> None:
        super().__init__()
        self.title, self.family, self.source = f"{model} ({library})", family, source
        self.register_buffer("digests", torch.empty(0, DIGEST_BYTES, dtype=torch.uint8))
        self.register_buffer("maps", torch.empty(0))

    def keep(self, image: Tensor, maps: Tensor) -> None:
        """Keep the maps [n, 1, S, S] >= 0 of slices [n, 1, S, S], in place of any kept before."""
        self.digests, self.maps = digests(image), maps

    @torch.no_grad()
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the kept maps of slices.

        Raises:
            ExternalError: the model was never shown one of them.
        """
        same = (digests(image).to(self.digests.device)[:, None] == self.digests).all(dim=2)  # [B, n]
        if not bool(same.any(dim=1).all()):
            raise ExternalError(
                f"{self.title} has no map of {int((~same.any(dim=1)).sum())} of {len(image)} slices: it was run once, "
                f"on {len(self.digests)} validation and test slices. Evaluate on the data of that run, or run it on "
                "these: anomask external data=..."
            )
        return self.maps[same.int().argmax(dim=1)].to(image.device)


def to_grey(image: Tensor) -> np.ndarray:
    """Return slices [..., S, S] in [0, 1] as 8-bit grey values, the form in which another library gets them."""
    return (image.cpu() * 255).round().to(torch.uint8).numpy()


def digests(image: Tensor) -> Tensor:
    """Return the SHA-256 of each 8-bit slice of [n, 1, S, S], [n, 32] uint8."""
    rows = [list(hashlib.sha256(values.tobytes()).digest()) for values in to_grey(image)]
    return torch.tensor(rows, dtype=torch.uint8).reshape(-1, DIGEST_BYTES)
