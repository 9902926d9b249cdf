"""Five lesion families of the phantom, each a map of how far the air in the lung has given way to tissue."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from anomask.data.phantom.anatomy import Thorax
from anomask.data.phantom.shapes import Lines, blob, cover, draw, grow_tree, join, smooth_field

GROUND_GLASS = (0.2, 0.5)  # opacity; 0.2 to 0.5 of the way from lung to soft tissue is about +180 to +450 HU


class Lesion(NamedTuple):
    """Opacity [H, W] in [0, 1] from air to tissue, and the same without the air bronchograms inside (the extent)."""

    opacity: np.ndarray
    extent: np.ndarray


def draw_lesion(family: str, thorax: Thorax, rng: np.random.Generator) -> Lesion:
    """Draw a lesion of a family, a key of `PAINTERS`, into the lungs of a slice; nothing reaches outside them."""
    lesion = PAINTERS[family](thorax, rng)
    inside = cover(thorax.lung_distance, thorax.grid.spacing_mm)
    return Lesion(*(np.clip(part, 0, 1) * inside for part in lesion))


def _covid19(thorax: Thorax, rng: np.random.Generator) -> Lesion:
    """Ground glass: several hazy patches along the pleura, mostly of both lungs and towards the back."""
    grid = thorax.grid
    depth = -thorax.wall_distance
    clear, uneven = np.ones_like(grid.x), smooth_field(grid, 9.0, rng)
    likely = np.exp(-np.abs(depth - 10) / 5) * (0.15 + _back(thorax) ** 2)
    for centre in _places(thorax, rng, int(rng.integers(3, 8)), likely):
        radius = rng.uniform(10, 26)
        patch = blob(grid, centre, radius, rng, 0.3) + 0.2 * radius * uneven
        patch = np.maximum(patch, depth - rng.uniform(14, 30))  # it hugs the pleura
        clear *= 1 - rng.uniform(*GROUND_GLASS) * cover(patch, 7.0)
    mesh = 1 + rng.uniform(0.05, 0.35) * np.clip(smooth_field(grid, 3.5, rng), -1.2, 2)  # crazy paving
    haze = np.minimum(1 - clear, 0.55) * mesh
    return Lesion(haze, haze)


def _bacterial(thorax: Thorax, rng: np.random.Generator) -> Lesion:
    """Consolidation: one dense region of one lobe, flat where it meets the fissure, with air bronchograms."""
    grid = thorax.grid
    depth = -thorax.lung_distance
    centre = _places(thorax, rng, 1, np.exp(-np.abs(depth - 16) / 6) * (0.6 + _back(thorax)))[0]
    side = int(centre[0] > 0)
    lobe = thorax.fissure_distance * np.sign(grid.sample(thorax.fissure_distance, centre[None])[0])
    radius = rng.uniform(20, 36)
    region = blob(grid, centre, radius, rng, 0.2) + 0.13 * radius * smooth_field(grid, 10.0, rng)
    own_side = np.where(grid.x > 0, 1, 0) == side
    core = cover(np.maximum(region, -lobe), 5.0) * own_side * rng.uniform(0.86, 0.97)
    rim = cover(np.maximum(region - rng.uniform(3, 9), -lobe), 9.0) * own_side * rng.uniform(0.15, 0.35)
    extent = np.maximum(core, rim)
    hilum = thorax.hila[side]
    heading = np.arctan2(*(centre - hilum)[::-1]) + np.array([-0.45, 0.0, 0.45]) + rng.normal(0, 0.15, 3)
    starts = centre + 0.9 * radius * np.stack([-np.cos(heading), -np.sin(heading)], 1)
    tree = grow_tree(
        starts, heading, radius_mm=1.5, length_mm=0.8 * radius, generations=3, thickness_mm=np.inf, rng=rng
    )
    return Lesion(extent * (1 - 0.75 * draw(grid, tree)), extent)


def _fungal(thorax: Thorax, rng: np.random.Generator) -> Lesion:
    """Nodules with the halo sign: several dense round nodules of 6 to 25 mm, each in a ring of ground glass."""
    grid = thorax.grid
    clear, uneven = np.ones_like(grid.x), smooth_field(grid, 7.0, rng)
    for centre in _places(thorax, rng, int(rng.integers(3, 7)), (thorax.lung_distance < -6).astype(np.float32)):
        radius = float(np.exp(rng.uniform(np.log(3.0), np.log(12.5))))
        nodule = blob(grid, centre, radius, rng, 0.13)
        halo = nodule - rng.uniform(4, 9) + 1.5 * uneven
        solid = rng.uniform(0.85, 1.0) * cover(nodule, 2.0)
        if radius > 8 and rng.random() < 0.3:  # an air crescent, as in recovery
            hollow = np.maximum(nodule + 2.5, -blob(grid, centre + np.array([0.0, 0.3 * radius]), radius, rng, 0.0))
            solid = solid * (1 - cover(hollow, 2.0))
        clear *= 1 - np.maximum(solid, rng.uniform(0.22, 0.42) * cover(halo, 6.0))
    return Lesion(1 - clear, 1 - clear)


def _mycoplasma(thorax: Thorax, rng: np.random.Generator) -> Lesion:
    """Tree-in-bud: clusters of 2 to 5 mm nodules on short branching lines, with small hazy patches between them."""
    grid = thorax.grid
    haze, buds, uneven = np.ones_like(grid.x), [], smooth_field(grid, 6.0, rng)
    depth = -thorax.lung_distance
    for centre in _places(thorax, rng, int(rng.integers(2, 5)), np.exp(-np.abs(depth - 15) / 8)):
        hilum = thorax.hila[int(centre[0] > 0)]
        outward = np.arctan2(*(centre - hilum)[::-1])
        starts = centre + rng.normal(0, 8, (4, 2))
        twigs = grow_tree(
            starts,
            outward + rng.normal(0, 0.8, 4),
            radius_mm=0.9,
            length_mm=9.0,
            generations=3,
            thickness_mm=np.inf,
            rng=rng,
        )
        count = int(rng.integers(14, 28))
        chosen = rng.integers(len(twigs.points) // 3, len(twigs.points), count)  # not on the stems
        tips = twigs.points[chosen] + rng.normal(0, 1, (count, 2))
        radius = rng.uniform(1.0, 2.5, count)
        buds += [twigs, Lines(tips, radius, np.pi * radius**2)]
        for spot in centre + rng.normal(0, 9, (3, 2)):
            patch = blob(grid, spot, rng.uniform(5, 10), rng, 0.3) + 1.5 * uneven
            haze *= 1 - rng.uniform(0.12, 0.32) * cover(patch, 6.0)
    opacity = np.maximum(0.95 * draw(grid, join(buds)), np.minimum(1 - haze, 0.45))
    return Lesion(opacity, opacity)


def _cancer(thorax: Thorax, rng: np.random.Generator) -> Lesion:
    """Cancer: one lobulated solid mass of 15 to 45 mm with tapering spicules, one of which may reach the pleura."""
    grid = thorax.grid
    radius = rng.uniform(7.5, 22.5)
    # a small lung at the base has no room for a large mass: stay as deep as there is room
    deepest = float(-thorax.lung_distance.min())
    radius = max(7.5, min(radius, 0.9 * deepest))
    centre = _places(thorax, rng, 1, (thorax.lung_distance < -0.6 * radius).astype(np.float32))[0]
    mass = blob(grid, centre, radius, rng, 0.2) + 0.1 * radius * smooth_field(grid, 0.45 * radius + 3, rng)
    count = int(rng.integers(9, 19))
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.normal(0, 0.25, count)
    reach = rng.uniform(2, 10, count) * (0.6 + radius / 30)
    reach[0] *= 2.5
    step = np.linspace(0, 1, 30)
    distance = 0.75 * radius + (0.25 * radius + reach[:, None]) * step
    curved = angle[:, None] + rng.normal(0, 0.2, count)[:, None] * step
    points = centre + np.stack([np.cos(curved), np.sin(curved)], -1) * distance[..., None]
    width = np.maximum(1.5 * (1 - step), 0.3) * np.ones((count, 1))
    area = 2 * width * ((0.25 * radius + reach) / 30)[:, None]
    spicules = draw(grid, Lines(points.reshape(-1, 2), width.ravel(), area.ravel()))
    solid = np.maximum(cover(mass, 2.0), 0.95 * spicules) * rng.uniform(0.93, 1.0)
    return Lesion(solid, solid)


PAINTERS: dict[str, Callable[[Thorax, np.random.Generator], Lesion]] = {
    "covid19": _covid19,
    "bacterial": _bacterial,
    "fungal": _fungal,
    "mycoplasma": _mycoplasma,
    "cancer": _cancer,
}


def _places(thorax: Thorax, rng: np.random.Generator, count: int, weight: np.ndarray) -> np.ndarray:
    """Draw places [count, 2] in mm inside the lungs by weight [H, W]; their deepest point if no place has any."""
    weight = np.where(thorax.lung_distance < -1, weight, 0).ravel().astype(np.float64)
    if weight.sum() <= 0:
        weight = (thorax.lung_distance <= thorax.lung_distance.min()).ravel().astype(np.float64)
    chosen = rng.choice(weight.size, count, p=weight / weight.sum())
    return np.stack([thorax.grid.x.ravel()[chosen], thorax.grid.y.ravel()[chosen]], 1).astype(np.float64)


def _back(thorax: Thorax) -> np.ndarray:
    """0 at the front to 1 at the back of the chest [H, W]."""
    return np.clip(0.5 + thorax.grid.y / 160, 0, 1)
