"""Multi-crop detection: overlapping, enlarged crops of a slice, seen by the same networks as the slice."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from anomask.errors import ConfigError

LEAST_WEIGHT = 0.05  # at a crop's border, against 1 in its middle


class Crops:
    """Cuts slices into overlapping crops, enlarged to the slices' own size, and joins what was found in them.

    Lesions that are small for a token, or of another size than in training, are seen a second time at another size.
    The networks must have seen sizes vary in training (`augment=ct`, of the height at least): with a detector of the
    phantom, trained without, the AUROC of small lesions fell.

    Args:
        zoom: enlargement, above 1; a crop's side is 1 / zoom of the slice's.
        per_side: crops along each side, evenly spaced from border to border; they have to cover the slice.

    Raises:
        ConfigError: no enlargement, or crops that leave gaps.
    """

    def __init__(self, zoom: float, per_side: int) -> None:
        if not 1.0 < zoom <= per_side:
            raise ConfigError(
                f"scoring.crops has zoom {zoom} and per_side {per_side}; a zoom above 1 and at least as many crops a "
                "side are wanted, or they leave gaps. For none: scoring.crops=null."
            )
        self.zoom, self.per_side = zoom, per_side

    def cut(self, image: Tensor) -> list[Tensor]:
        """Return the enlarged crops of slices [B, 1, S, S], row by row, each [B, 1, S, S]."""
        size, side = image.shape[-1], self._side(image.shape[-1])
        return [
            F.interpolate(image[..., top : top + side, left : left + side], (size, size), mode="bilinear")
            for top, left in self._corners(size)
        ]

    def join(self, maps: list[Tensor]) -> Tensor:
        """Put maps of the crops back in place.

        Args:
            maps: in the order of `cut`, each [B, 1, S, S].

        Returns:
            their mean, [B, 1, S, S] float32, weighted by nearness to the middle of a crop: at its border
            pixels are seen without their surroundings
        """
        size = maps[0].shape[-1]
        side = self._side(size)
        place = (torch.arange(side, device=maps[0].device) + 0.5) / side
        taper = (2 * torch.minimum(place, 1 - place)).clamp(min=LEAST_WEIGHT)
        weight = taper[:, None] * taper
        total = torch.zeros_like(maps[0], dtype=torch.float32)
        weights = torch.zeros_like(total[:1])
        for (top, left), found in zip(self._corners(size), maps, strict=True):
            where = (..., slice(top, top + side), slice(left, left + side))
            total[where] += weight * F.interpolate(found.float(), (side, side), mode="bilinear")
            weights[where] += weight
        return total / weights

    def _side(self, size: int) -> int:
        return max(round(size / self.zoom), math.ceil(size / self.per_side))  # rounding down could leave a gap

    def _corners(self, size: int) -> list[tuple[int, int]]:
        last = size - self._side(size)
        places = [round(last * step / (self.per_side - 1)) for step in range(self.per_side)]
        return [(top, left) for top in places for left in places]
