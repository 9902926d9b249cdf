"""Healthy anatomy of the phantom: lays body, organs and lungs over each other to one noise-free slice."""

from typing import NamedTuple

import numpy as np

from anomask.data.phantom import organs
from anomask.data.phantom.patient import Patient
from anomask.data.phantom.shapes import Grid, cover, draw, ellipse, lay_over, make_grid, ramp, smooth_field, smooth_max

SOFT_TISSUE_HU = 40.0
SIDES = (-1, 1)  # the patient's right lung is on the image's left


class Thorax(NamedTuple):
    """A noise-free slice: all maps [H, W]; densities in HU, distances in mm and negative inside the lungs."""

    grid: Grid
    hu: np.ndarray
    parenchyma_hu: np.ndarray
    lung_distance: np.ndarray
    wall_distance: np.ndarray  # to the chest wall alone, not to the mediastinum
    fissure_distance: np.ndarray  # signed: below 0 is the lobe in front, above 0 the lobe behind
    hila: np.ndarray  # [2, 2]: (x, y) in mm of the roots of the right and the left lung


def draw_thorax(patient: Patient, level: float, size: int, rng: np.random.Generator) -> Thorax:
    """Draw the healthy slice of a patient at a level, without blur or noise.

    Args:
        patient: the sampled parameters.
        level: 0 at the apex of the lungs, 1 at their base.
        size: pixels along each side.
        rng: decides what slices of one patient do not share, such as the course of the vessels in the plane.
    """
    grid = make_grid(size, patient.fov_mm, patient.shift_mm, patient.angle_rad)
    own = np.random.default_rng(patient.seed)
    wobble = smooth_field(grid, 38.0, own) + 0.6 * smooth_field(grid, 20.0, rng)
    frame = organs.chest_frame(patient, level)
    cavity = ellipse(grid, frame.centre, frame.half, power=patient.cavity_power) + 1.5 * wobble
    hu = organs.draw_body(grid, patient, level, cavity, own)
    parts = organs.mediastinum(grid, patient, level, frame)
    lung = smooth_max([cavity, *(-part - 1.2 * wobble for part in parts.values())], 2.5)
    organs.draw_mediastinum(hu, grid, patient, level, frame, cavity=cavity, parts=parts)
    fissure = _fissure_distance(grid, level, frame, wobble, own)
    hila = np.array([[side * 0.36 * frame.half[0], frame.centre[1]] for side in SIDES])
    parenchyma = _parenchyma(grid, patient, frame, rng)
    tissue = parenchyma + patient.fissure_hu * np.exp(-((fissure / max(0.8, 0.5 * grid.spacing_mm)) ** 2))
    lay_over(tissue, draw(grid, organs.vessels(grid, patient, lung, hila, rng)), patient.blood_hu)
    organs.draw_bronchi(tissue, grid, hila, rng)
    if level > patient.dome_level:  # the top of the dome fades into the lung: partial volume
        fading = 2.0 + 10.0 * (1 - ramp(0.0, 0.15, level - patient.dome_level))
        lay_over(tissue, 1 / (1 + np.exp(np.minimum(parts["domes"] * (4 / fading), 30))), SOFT_TISSUE_HU)
    lay_over(hu, cover(lung, grid.spacing_mm), tissue)
    organs.draw_trachea(hu, grid, level, frame)
    return Thorax(grid, hu, parenchyma, lung, cavity, fissure, hila)


def _parenchyma(grid: Grid, patient: Patient, frame: organs.Frame, rng: np.random.Generator) -> np.ndarray:
    """Lung tissue in HU [H, W]: denser towards the back where the patient lies, and slightly uneven."""
    depth = np.clip((grid.y - frame.centre[1]) / np.float32(frame.half[1]), -1, 1)
    texture = 0.7 * smooth_field(grid, 4.0, rng) + 0.7 * smooth_field(grid, 18.0, rng)
    dependent = patient.dependent_hu * (depth + np.exp(np.minimum(6 * (depth - 0.95), 0)))
    return patient.lung_hu + dependent + patient.lung_texture_hu * texture


def _fissure_distance(
    grid: Grid, level: float, frame: organs.Frame, wobble: np.ndarray, own: np.random.Generator
) -> np.ndarray:
    """Signed distance [H, W] in mm to the oblique fissure, which runs forward from apex to base."""
    place = own.uniform(0.25, 0.45, 2) - own.uniform(0.6, 0.9, 2) * (level - 0.35)
    tilt = own.uniform(-0.25, 0.35, 2)
    side = (grid.x > 0).astype(int)
    arch = 0.0016 * np.square(np.abs(grid.x) - 0.6 * frame.half[0])
    middle = frame.centre[1] + frame.half[1] * place.astype(np.float32)[side]
    slope = tilt.astype(np.float32)[side] * (np.abs(grid.x) - 0.5 * frame.half[0])
    return grid.y - middle + slope + arch + 2.0 * wobble
