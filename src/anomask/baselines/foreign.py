"""Where DRAEM's anomalies come from: other slices of the batch, changed until they look like no lung."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Range = tuple[float, float]


class ForeignTexture:
    """Turns, zooms and shifts another slice of the batch, then changes its grey values.

    The grey value changes are those of DRAEM's release without the ones of colour. Each slice gets `n_changes`
    different ones, always in the order below: gamma, brightness, sharpness, solarise, posterise, invert, equalise.

    Args:
        n_changes: of the grey values.
        zoom: smallest and largest magnification, drawn log-uniformly; the slice is mirrored at its edges.
        gamma: exponents.
        gain: factors of the brightness.
        shift: added to the brightness, in [-1, 1].
        sharpness: 0 is blurred, 1 unchanged.
        solarise: grey values above which a slice is inverted, in [0, 1].
        bits: fewest and most bits that posterising keeps.
    """

    def __init__(
        self,
        n_changes: int,
        zoom: Range,
        gamma: Range,
        gain: Range,
        shift: Range,
        sharpness: Range,
        solarise: Range,
        bits: tuple[int, int],
    ) -> None:
        self.n_changes, self.zoom, self.gamma, self.gain, self.shift = n_changes, zoom, gamma, gain, shift
        self.sharpness, self.solarise, self.bits = sharpness, solarise, bits

    @torch.no_grad()
    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return foreign textures [B, 1, S, S] in [0, 1] for slices [B, 1, S, S]; a slice alone gets its own."""
        batch, device = len(image), image.device

        def uniform(low: float, high: float) -> Tensor:
            return (low + (high - low) * torch.rand(batch, generator=generator)).view(-1, 1, 1, 1).to(device)

        step = int(torch.randint(1, max(batch, 2), (), generator=generator))
        texture = self._moved(image.roll(step, 0), uniform)
        changes = self._changes(uniform)
        keys = torch.rand(batch, len(changes), generator=generator).to(device)
        chosen = keys.argsort(1).argsort(1) < self.n_changes
        for number, change in enumerate(changes):
            changed = change(texture).clamp(0.0, 1.0)
            texture = torch.where(chosen[:, number].view(-1, 1, 1, 1), changed, texture)
        return texture

    def _moved(self, image: Tensor, uniform: Callable[[float, float], Tensor]) -> Tensor:
        angle = uniform(-math.pi, math.pi).flatten()
        zoom = uniform(*(math.log(factor) for factor in self.zoom)).flatten().exp()
        down, across = uniform(-1, 1).flatten(), uniform(-1, 1).flatten()  # up to half a side
        cosine, sine = angle.cos() / zoom, angle.sin() / zoom
        motion = torch.stack([cosine, -sine, across, sine, cosine, down], dim=1).view(-1, 2, 3)
        grid = F.affine_grid(motion, list(image.shape), align_corners=False)
        return F.grid_sample(image, grid, padding_mode="reflection", align_corners=False)

    def _changes(self, uniform: Callable[[float, float], Tensor]) -> list[Callable[[Tensor], Tensor]]:
        gamma, gain, shift, factor = (uniform(*r) for r in (self.gamma, self.gain, self.shift, self.sharpness))
        limit = uniform(*self.solarise)
        levels = 2.0 ** uniform(self.bits[0], self.bits[1] + 1).floor().clamp(max=self.bits[1])
        return [
            lambda x: x**gamma,
            lambda x: gain * x + shift,
            lambda x: torch.lerp(F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), x, factor),
            lambda x: torch.where(x > limit, 1 - x, x),
            lambda x: (x * levels).floor() / levels,
            lambda x: 1 - x,
            _equalised,
        ]


def _equalised(image: Tensor) -> Tensor:
    values = image.flatten(1)
    below = torch.searchsorted(values.sort(1).values, values, right=True)
    return (below / values.shape[1]).view_as(image)
