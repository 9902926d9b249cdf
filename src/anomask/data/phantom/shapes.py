"""Drawing tools of the phantom: a grid in millimetres, smooth-edged shapes, smooth random fields, branching trees."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

WIDTHS_PX = (0.4, 0.75, 1.3, 2.2, 3.6)  # the blurs that lines are sorted into


class Grid(NamedTuple):
    """Pixel centres in the patient's own millimetres: `x` to the image's right, `y` to the back; both [H, W]."""

    x: np.ndarray
    y: np.ndarray
    spacing_mm: float
    shift_mm: tuple[float, float]
    angle_rad: float

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Map points [P, 2] as (x, y) in mm to fractional (row, column) [2, P]."""
        cos, sin = np.cos(self.angle_rad), np.sin(self.angle_rad)
        x = cos * points[:, 0] - sin * points[:, 1] + self.shift_mm[0]
        y = sin * points[:, 0] + cos * points[:, 1] + self.shift_mm[1]
        return np.stack([y, x]) / self.spacing_mm + (self.x.shape[0] - 1) / 2

    def sample(self, field: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Read `field` [H, W] at the pixels nearest to points [P, 2] in mm; beyond the frame its border counts."""
        row, column = np.rint(self.pixels(points)).astype(int).clip(0, field.shape[0] - 1)
        return field[row, column]


def make_grid(size: int, fov_mm: float, shift_mm: tuple[float, float], angle_rad: float) -> Grid:
    """Lay `size` x `size` pixels over a field of view; the patient is turned by the angle, then moved by the shift."""
    spacing = fov_mm / size
    line = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * np.float32(spacing)
    x, y = np.meshgrid(line - np.float32(shift_mm[0]), line - np.float32(shift_mm[1]))
    cos, sin = np.float32(np.cos(angle_rad)), np.float32(np.sin(angle_rad))
    return Grid(cos * x + sin * y, cos * y - sin * x, spacing, shift_mm, angle_rad)


def ellipse(grid: Grid, centre, half_axes, turn_rad: float = 0.0, power: float = 2.0) -> np.ndarray:
    """Distance [H, W] in mm to a superellipse, negative inside; first-order exact near the outline."""
    x, y = grid.x - np.float32(centre[0]), grid.y - np.float32(centre[1])
    if turn_rad:
        cos, sin = np.float32(np.cos(turn_rad)), np.float32(np.sin(turn_rad))
        x, y = cos * x + sin * y, cos * y - sin * x
    width, height, power = float(half_axes[0]), float(half_axes[1]), float(power)  # NumPy scalars would widen float32
    u, v = np.abs(x) / width + 1e-6, np.abs(y) / height + 1e-6
    if power == 2.0:  # twice as fast as the general case
        radius = np.sqrt(u * u + v * v)
        return (radius - 1) * radius / np.sqrt(np.square(u / width) + np.square(v / height))
    # u ** power by exp and log, which NumPy vectorises
    a, b = np.exp((power - 1) * np.log(u)), np.exp((power - 1) * np.log(v))
    rest = np.log(a * u + b * v) / power
    slope = np.sqrt(np.square(a / width) + np.square(b / height))
    return (np.exp(rest) - 1) * np.exp((power - 1) * rest) / slope


def smooth_max(distances: list[np.ndarray], rounding_mm: float) -> np.ndarray:
    """Intersect shapes given as distances [H, W], with corners rounded over about `rounding_mm`."""
    highest = np.maximum.reduce(distances)
    total = sum(np.exp((distance - highest) / np.float32(rounding_mm)) for distance in distances)
    return highest + np.float32(rounding_mm) * np.log(total)


def cover(distance: np.ndarray, width_mm: float) -> np.ndarray:
    """Share [0, 1] of a pixel inside a shape whose edge is `width_mm` wide; anti-aliasing without supersampling."""
    return np.clip(0.5 - distance / np.float32(width_mm), 0, 1)


def lay_over(hu: np.ndarray, share: np.ndarray, value) -> None:
    """Blend `value` into `hu` [H, W] in place, by `share` in [0, 1]."""
    hu += share * (np.float32(value) - hu)


def smooth_field(grid: Grid, scale_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Random field [H, W] of about zero mean and unit deviation, smooth over `scale_mm`; the same at any `size`."""
    extent = grid.x.shape[0] * grid.spacing_mm
    knots = np.arange(-2 * scale_mm, extent + 2 * scale_mm, scale_mm)
    line = np.arange(grid.x.shape[0]) * grid.spacing_mm
    weights = np.exp(-0.5 * ((line[:, None] - knots) / (0.7 * scale_mm)) ** 2)
    weights /= np.sqrt((weights**2).sum(1, keepdims=True))
    weights = weights.astype(np.float32)
    return weights @ rng.standard_normal((len(knots), len(knots)), np.float32) @ weights.T


def blob(grid: Grid, centre, radius_mm: float, rng: np.random.Generator, roughness: float = 0.25) -> np.ndarray:
    """Distance [H, W] in mm to an irregular outline around `centre`, negative inside; `roughness` 0 is a circle."""
    x, y = grid.x - np.float32(centre[0]), grid.y - np.float32(centre[1])
    distance = np.sqrt(x * x + y * y) + np.float32(1e-6)
    first = (x + 1j * y) / distance  # its powers are the harmonics of the angle, without an arctangent
    second = first * first
    third = second * first
    outline = np.ones_like(distance)
    for order, harmonic in ((2, second), (3, third), (5, third * second)):
        height = roughness * rng.normal() / order**0.7
        outline += (np.complex64(height * np.exp(1j * rng.uniform(0, 7))) * harmonic).real
    return distance - np.float32(radius_mm) * np.clip(outline, 0.4, 1.8)


def ramp(start: float, end: float, value: float) -> float:
    """Rise smoothly from 0 at `start` to 1 at `end`."""
    share = min(1.0, max(0.0, (value - start) / (end - start)))
    return share * share * (3 - 2 * share)


class Lines(NamedTuple):
    """Points along lines: places [P, 2] in mm, radius [P] in mm, and the area [P] in mm² that each stands for."""

    points: np.ndarray
    radius: np.ndarray
    area: np.ndarray


def join(lines: list[Lines]) -> Lines:
    """Put several sets of lines into one."""
    return Lines(*(np.concatenate(part) for part in zip(*lines, strict=True)))


def draw(grid: Grid, lines: Lines) -> np.ndarray:
    """Share [0, 1] of each pixel [H, W] that the lines cover; thin ones fade as their partial volume does."""
    size = grid.x.shape[0]
    total = np.zeros((size, size), np.float32)
    position = grid.pixels(lines.points)
    corner = np.floor(position).astype(int)
    part = position - corner
    width = np.abs(np.log(0.5 * lines.radius[:, None] / grid.spacing_mm / np.array(WIDTHS_PX))).argmin(1)
    kept = (lines.area > 0) & (corner >= 0).all(0) & (corner < size - 1).all(0)
    for index, sigma in enumerate(WIDTHS_PX):
        chosen = kept & (width == index)
        if not chosen.any():
            continue
        (row, column), (down, right), area = corner[:, chosen], part[:, chosen], lines.area[chosen]
        places = np.concatenate([(row + i) * size + column + j for i in (0, 1) for j in (0, 1)])
        shares = [area * (down if i else 1 - down) * (right if j else 1 - right) for i in (0, 1) for j in (0, 1)]
        image = np.bincount(places, np.concatenate(shares), size * size).reshape(size, size).astype(np.float32)
        total += ndimage.gaussian_filter(image, sigma, truncate=3.0)
    return 1 - np.exp(-1.4 * total / np.float32(grid.spacing_mm**2))


def grow_tree(
    starts: np.ndarray,
    headings: np.ndarray,
    *,
    radius_mm: float,
    length_mm: float,
    generations: int,
    thickness_mm: float,
    rng: np.random.Generator,
) -> Lines:
    """Grow branching, tapering lines in the plane that wander in and out of a slice.

    Args:
        starts: [N, 2] roots in mm.
        headings: [N] directions in radians.
        radius_mm: radius of the roots; each generation has 0.76 of it.
        length_mm: mean length of a root; each generation has 0.8 of it.
        generations: how often a line forks.
        thickness_mm: how far out of the plane a line stays visible; infinity for a flat tree.
        rng: the source of randomness.
    """
    grown, height = [], rng.normal(0, 0.5, len(starts)) * min(thickness_mm, 50.0)
    for _ in range(generations):
        length = length_mm * rng.uniform(0.6, 1.4, len(starts))
        step = np.linspace(0, 1, max(4, int(np.ceil(1.4 * length_mm / 0.7))))
        bend, climb = rng.normal(0, 0.5, len(starts)), rng.normal(0, 0.55, len(starts)) * length
        angle = headings[:, None] + bend[:, None] * step
        moves = np.stack([np.cos(angle), np.sin(angle)], -1) * (length / len(step))[:, None, None]
        path = starts[:, None] + np.cumsum(moves, 1)
        seen = np.exp(-(((height[:, None] + climb[:, None] * step) / thickness_mm) ** 2))
        radius = radius_mm * rng.uniform(0.6, 1.2, len(starts))[:, None] * (1 - 0.22 * step)
        area = seen * 2 * radius * (length / len(step))[:, None]
        grown.append(Lines(path.reshape(-1, 2), radius.ravel(), area.ravel()))
        fork = np.array([-1, 1]) * rng.uniform(0.25, 0.75, (len(starts), 2))
        starts, height = np.repeat(path[:, -1], 2, 0), np.repeat(height + climb, 2)
        headings = (angle[:, -1:] + fork).ravel()
        radius_mm, length_mm = 0.76 * radius_mm, 0.8 * length_mm
    return join(grown)
