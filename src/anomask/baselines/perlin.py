"""Perlin noise, and the anomaly masks that DRAEM and DSR cut out of it."""

import math

import torch
from torch import Tensor


def perlin_noise(size: int, cells: Tensor, angle: Tensor, generator: torch.Generator) -> Tensor:
    """Return Perlin noise in [-1, 1], each image on a lattice of its own.

    The noise is evaluated at pixel centres of the rotated lattice, so a rotation leaves no empty corners.

    Args:
        size: side in pixels.
        cells: [B, 2] int64, lattice cells down and across the image.
        angle: [B], rotation of the lattice about the image's centre, in rad.
        generator: source of the gradients' directions, on the CPU.

    Returns:
        [B, 1, size, size]
    """
    side = 2 * int(cells.max()) + 2  # lattice points a side: enough for a rotated square; beyond, they repeat
    direction = 2 * math.pi * torch.rand(len(cells), side * side, generator=generator)
    place = (torch.arange(size) + 0.5) / size - 0.5
    sine, cosine = angle.sin().view(-1, 1, 1), angle.cos().view(-1, 1, 1)
    rows = (cosine * place[:, None] - sine * place + 0.5) * cells[:, 0].view(-1, 1, 1)  # [B, S, S]
    columns = (sine * place[:, None] + cosine * place + 0.5) * cells[:, 1].view(-1, 1, 1)
    row, column = rows.floor(), columns.floor()
    down, across = rows - row, columns - column

    def corner(step_down: int, step_across: int) -> Tensor:
        index = ((row.long() + step_down) % side) * side + (column.long() + step_across) % side
        slope = direction.gather(1, index.flatten(1)).view_as(index)
        return slope.cos() * (down - step_down) + slope.sin() * (across - step_across)

    upper = torch.lerp(corner(0, 0), corner(0, 1), _fade(across))
    lower = torch.lerp(corner(1, 0), corner(1, 1), _fade(across))
    return math.sqrt(2) * torch.lerp(upper, lower, _fade(down))[:, None]


class PerlinMasks:
    """Draws anomaly masks: thresholded, rotated Perlin noise for a share of the slices, none for the others.

    Args:
        finest_power: the lattice has 2^0, 2^1 ... or 2^finest_power cells down, and independently across.
        threshold: noise above it is masked.
        rotation: the lattice is turned by up to this many degrees either way.
        chance: that a slice gets a mask.
    """

    def __init__(self, finest_power: int, threshold: float, rotation: float, chance: float) -> None:
        self.finest_power = finest_power
        self.threshold, self.rotation, self.chance = threshold, rotation, chance

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return masks [B, 1, S, S] bool for slices [B, 1, S, S]."""
        batch = len(image)
        cells = 2 ** torch.randint(self.finest_power + 1, (batch, 2), generator=generator)
        angle = math.radians(self.rotation) * (2 * torch.rand(batch, generator=generator) - 1)
        chosen = torch.rand(batch, generator=generator) < self.chance
        noise = perlin_noise(image.shape[-1], cells, angle, generator)
        return ((noise > self.threshold) & chosen.view(-1, 1, 1, 1)).to(image.device)


def _fade(place: Tensor) -> Tensor:
    return place**3 * (place * (6 * place - 15) + 10)
