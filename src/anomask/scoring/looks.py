"""How often a slice is looked at: as it is, mirrored, and in enlarged crops."""

from collections.abc import Callable

import torch
from torch import Tensor

from anomask.scoring.crops import Crops


class Looks:
    """Averages what a network sees in a slice, in its mirror image, and in enlarged crops of both.

    Args:
        mirror: whether the slice is also seen mirrored left to right.
        crops: whose joined map is averaged with that of the whole slice (multi-crop detection); None: the slice alone.
    """

    def __init__(self, mirror: bool, crops: Crops | None = None) -> None:
        self.mirror, self.crops = mirror, crops

    def __call__(self, see: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
        """Return the mean map [B, 1, S, S] of slices [B, 1, S, S] that `see` turns into maps of that shape."""
        whole = self._seen(see, image)
        if self.crops is None:
            return whole
        joined = self.crops.join([self._seen(see, crop) for crop in self.crops.cut(image)])
        return (whole + joined) / 2

    def _seen(self, see: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
        return (see(image) + see(image.flip(3)).flip(3)) / 2 if self.mirror else see(image)


class LooksAtOnce(Looks):
    """The same looks as one batch: the network is called once, with as many times the memory."""

    def __call__(self, see: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
        """Return the mean map, as `Looks` does."""
        views = [image, *([] if self.crops is None else self.crops.cut(image))]
        whole, *crops = self._seen(see, torch.cat(views)).unflatten(0, (len(views), -1)).unbind()
        return whole if self.crops is None else (whole + self.crops.join(crops)) / 2

    def _seen(self, see: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
        if not self.mirror:
            return see(image)
        once, mirrored = see(torch.cat([image, image.flip(3)])).unflatten(0, (2, -1)).unbind()
        return (once + mirrored.flip(3)) / 2
