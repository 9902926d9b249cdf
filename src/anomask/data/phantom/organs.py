"""The parts of a healthy phantom thorax: body wall, bones, mediastinum, heart, diaphragm, vessels and airways."""

from typing import NamedTuple

import numpy as np

from anomask.data.phantom.patient import Patient
from anomask.data.phantom.shapes import Grid, Lines, cover, draw, ellipse, grow_tree, join, lay_over, ramp, smooth_max

AIR_HU, FAT_HU, MUSCLE_HU, BONE_HU, MARROW_HU = -1000.0, -100.0, 50.0, 600.0, 220.0


class Frame(NamedTuple):
    """The chest cavity at one level: centre (x, y) and half-axes (x, y) in mm; `spine_y` is the vertebra's centre."""

    centre: tuple[float, float]
    half: tuple[float, float]
    spine_y: float


def chest_frame(patient: Patient, level: float) -> Frame:
    """Size the cavity: narrow at the apex, full from the middle down; its back stays at the spine."""
    grown = ramp(-0.15, 0.45, level)
    half_x = patient.cavity_half_width_mm * (0.6 + 0.4 * grown)
    half_y = patient.cavity_half_height_mm * (0.64 + 0.36 * grown)
    full_y = patient.cavity_half_height_mm
    return Frame((0.0, 0.8 * (full_y - half_y)), (half_x, half_y), full_y - 20)


def draw_body(grid: Grid, patient: Patient, level: float, cavity: np.ndarray, own: np.random.Generator) -> np.ndarray:
    """Air, table, skin, fat, muscle and bones, in HU [H, W]; `cavity` [H, W] is the distance to the chest cavity."""
    width = patient.cavity_half_width_mm + patient.muscle_mm + patient.fat_mm
    top = -(patient.cavity_half_height_mm + 0.7 * patient.muscle_mm + 0.8 * patient.fat_mm)
    back = patient.cavity_half_height_mm + 34 + 0.6 * patient.fat_mm
    centre, half_height = (0.0, (top + back) / 2), (back - top) / 2
    skin = ellipse(grid, centre, (width, half_height), power=2.4)
    if patient.breast_mm > 5 and level > 0.35:
        for x in (-0.48 * width, 0.48 * width):
            breast = ellipse(grid, (x, top + 36), (0.46 * width, patient.breast_mm + 24))
            skin = -smooth_max([-skin, -breast], 8.0)
    hu = np.full(grid.x.shape, AIR_HU, np.float32)
    table = grid.y - (back + patient.table_gap_mm) + 0.0011 * grid.x**2
    for depth, value in ((0, -150), (24, -350)):
        lay_over(hu, cover(np.abs(table - depth) - 1.2, grid.spacing_mm), value)
    lay_over(hu, cover(skin, grid.spacing_mm), 10.0)
    lay_over(hu, cover(skin + 2.0, grid.spacing_mm), FAT_HU)
    wall = ellipse(grid, centre, (width - patient.fat_mm, half_height - 2 - 0.7 * patient.fat_mm), power=2.4)
    lay_over(hu, cover(wall, grid.spacing_mm), MUSCLE_HU)
    lay_over(hu, 0.6 * cover(np.abs(cavity - 13) - 1.0, 3.0), FAT_HU)
    _draw_bones(hu, grid, patient, level=level, cavity=cavity, own=own)
    return hu


def _draw_bones(
    hu: np.ndarray, grid: Grid, patient: Patient, *, level: float, cavity: np.ndarray, own: np.random.Generator
) -> None:
    """Ribs as arcs along the cavity, sternum, shoulder blades in the upper half, and the spine."""
    angle = np.arctan2(grid.y, np.abs(grid.x))  # from the front (-pi/2) to the back (pi/2), alike on both sides
    side = np.where(grid.x > 0, np.float32(0.35), 0) * np.float32(own.uniform(0, 2))
    wave = np.cos(6.5 * angle + side + np.float32(own.uniform(0, 6) + 25.0 * level))
    along = np.clip(2.2 * wave - 0.1, 0, 1) * np.clip(8 * (angle + 1.25), 0, 1)
    rib = np.abs(cavity - 6.5)
    lay_over(hu, along * cover(rib - 3.6, grid.spacing_mm), BONE_HU)
    lay_over(hu, along * cover(rib - 1.8, grid.spacing_mm), MARROW_HU)
    if level < 0.55:
        for x in (-1, 1):
            centre = (x * (patient.cavity_half_width_mm * 0.78), 0.62 * patient.cavity_half_height_mm)
            blade = ellipse(grid, centre, (32, 4.5), -x * (0.85 - 0.3 * level))
            lay_over(hu, cover(blade, grid.spacing_mm) * cover(-cavity + 4, grid.spacing_mm), BONE_HU)
    sternum = (0.0, -patient.cavity_half_height_mm - 4.0)
    spine_y = patient.cavity_half_height_mm - 20
    shapes = [(sternum, (21, 5.5)), ((0.0, spine_y), (19.5, 16)), ((0.0, spine_y + 27), (15, 12)),
              ((0.0, spine_y + 40), (4.5, 11))]  # fmt: skip
    for centre, half in shapes:
        shape = ellipse(grid, centre, half)
        lay_over(hu, cover(shape, grid.spacing_mm), BONE_HU)
        lay_over(hu, cover(shape + 2.2, grid.spacing_mm), MARROW_HU)
    lay_over(hu, cover(ellipse(grid, (0.0, spine_y + 24), (10, 8)), grid.spacing_mm), 25.0)  # spinal canal


def mediastinum(grid: Grid, patient: Patient, level: float, frame: Frame) -> dict[str, np.ndarray]:
    """What the lungs make room for: distances [H, W] in mm to each part, negative inside."""
    middle = ramp(0.0, 0.3, level)
    depth = (grid.y - frame.centre[1]) / np.float32(frame.half[1])
    half_width = 3.0 + 27 * np.exp(-np.square((depth + 0.22) / 0.42)) + 15 * np.exp(-np.square((depth - 0.6) / 0.5))
    half_width = half_width + 12 * np.exp(-np.square((depth + 1.15) / 0.3)) + (1 - middle) * 6
    parts = {
        "column": np.abs(grid.x) - half_width.astype(np.float32),
        "spine": ellipse(grid, (0.0, frame.spine_y + 6), (27, 30)),
        "aorta": ellipse(grid, (20.0, frame.spine_y - 22), (14, 14)),
    }
    beat = ramp(0.36, 0.58, level)
    if beat > 0.05:
        size = patient.heart_mm * (0.45 + 0.55 * beat)
        centre = 0.32 * size, frame.centre[1] - 0.28 * frame.half[1]
        parts["heart"] = ellipse(grid, centre, (1.2 * size, 0.85 * size), 0.5)
    dome = min(1.0, max(0.0, (level - patient.dome_level) / 0.5))
    height = np.sqrt(1 - (1 - dome) ** 2)
    right = _dome(grid, frame, -1, height)
    left = _dome(grid, frame, 1, np.sqrt(1 - (1 - max(0.0, dome - 0.12)) ** 2))
    parts["domes"] = np.minimum(right, left)
    return parts


def _dome(grid: Grid, frame: Frame, side: int, height: float) -> np.ndarray:
    """Distance [H, W] in mm to a slice through the diaphragm; far away while `height` [0, 1] is 0."""
    if height < 0.05:
        return np.full(grid.x.shape, 1e3, np.float32)
    half = 0.62 * frame.half[0] * height, 0.86 * frame.half[1] * height
    return ellipse(grid, (side * 0.46 * frame.half[0], frame.centre[1] - 0.18 * frame.half[1]), half, power=2.2)


def draw_mediastinum(
    hu: np.ndarray,
    grid: Grid,
    patient: Patient,
    level: float,
    frame: Frame,
    *,
    cavity: np.ndarray,
    parts: dict[str, np.ndarray],
) -> None:
    """Fill the cavity [H, W] in place with fat, great vessels, heart, liver and stomach; the lungs come after."""
    edge = grid.spacing_mm
    bones = hu > 150
    inside = cover(cavity, edge) * ~bones
    lay_over(hu, inside, -20.0)
    lay_over(hu, cover(np.maximum(cavity, parts["domes"]), edge), 60.0)
    if "heart" in parts:
        lay_over(hu, cover(parts["heart"] + 4.0, edge) * inside, 0.6 * patient.blood_hu + 15)
    lay_over(hu, cover(parts["aorta"] + 2.0, edge) * inside, patient.blood_hu)
    if level < 0.5:
        for x, y, radius in ((-16, -0.3, 9), (14, -0.25, 12), (-2, -0.45, 13)):
            great = ellipse(grid, (x, frame.centre[1] + y * frame.half[1]), (radius, radius))
            lay_over(hu, cover(great, edge), patient.blood_hu)
    if patient.stomach_gas and level > patient.dome_level + 0.09:
        gas = ellipse(grid, (0.45 * frame.half[0], frame.centre[1] - 0.42 * frame.half[1]), (22, 13))
        lay_over(hu, cover(np.maximum(gas, parts["domes"] + 8), edge), -950.0)


def vessels(grid: Grid, patient: Patient, lung: np.ndarray, hila: np.ndarray, rng: np.random.Generator) -> Lines:
    """Arteries and veins that branch from the hila, and cross-sections of those that pass through the slice."""
    grown = []
    for hilum, outward in zip(hila, (np.pi, 0.0), strict=True):
        count = max(3, round(4.5 * patient.vessel_density))
        headings = outward + np.linspace(-1.7, 1.7, count) + rng.normal(0, 0.2, count)
        starts = hilum + rng.normal(0, 6, (count, 2))
        radius_mm, thickness_mm = patient.vessel_radius_mm, patient.slice_thickness_mm
        tree = grow_tree(
            starts, headings, radius_mm=radius_mm, length_mm=25.0, generations=6, thickness_mm=thickness_mm, rng=rng
        )
        grown.append(tree)
    rows, columns = np.nonzero(lung < -2)
    if len(rows):
        count = int(len(rows) * grid.spacing_mm**2 / 280 * patient.vessel_density)
        chosen = rng.integers(len(rows), size=count)
        points = np.stack([grid.x[rows[chosen], columns[chosen]], grid.y[rows[chosen], columns[chosen]]], 1)
        depth = np.clip(-lung[rows[chosen], columns[chosen]] / 40, 0.15, 1)
        radius = rng.uniform(0.35, 0.9, count) * patient.vessel_radius_mm * depth
        grown.append(Lines(points + rng.uniform(-0.5, 0.5, (count, 2)) * grid.spacing_mm, radius, np.pi * radius**2))
    lines = join(grown)
    reach = np.clip(-grid.sample(lung, lines.points) / 3, 0, 1)  # vessels end before the pleura
    return lines._replace(area=lines.area * reach)


def draw_bronchi(tissue: np.ndarray, grid: Grid, hila: np.ndarray, rng: np.random.Generator) -> None:
    """Draw bronchi in cross-section near the hila, in place: a thin bright wall around a dark lumen."""
    for hilum in hila:
        points = hilum + rng.normal(0, 15, (4, 2))
        radius = rng.uniform(1.6, 4.0, 4)
        lay_over(tissue, draw(grid, Lines(points, radius + 1.4, np.pi * (radius + 1.4) ** 2)), 0.0)
        lay_over(tissue, draw(grid, Lines(points, radius, np.pi * radius**2)), -960.0)


def draw_trachea(hu: np.ndarray, grid: Grid, level: float, frame: Frame) -> None:
    """Draw the trachea, and below level 0.36 the two main bronchi until they enter the lungs, in place."""
    if level > 0.5:
        return
    apart = 70 * max(0.0, level - 0.32)
    radius = 9.0 if level < 0.34 else 7.0
    y, half = frame.centre[1] + 0.08 * frame.half[1], (radius, 0.9 * radius)
    tube = np.minimum(ellipse(grid, (-1.6 * apart, y), half), ellipse(grid, (1.6 * apart, y), half))
    lay_over(hu, cover(np.abs(tube) - 1.0, grid.spacing_mm), 0.0)
    lay_over(hu, cover(tube + 1.0, grid.spacing_mm), -980.0)
