"""Who a phantom patient is and which scanner saw them: the numbers that all slices of one patient share."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Patient:
    """What the slices of one patient share; lengths in mm, densities in HU, levels in [0, 1] from apex to base."""

    cavity_half_width_mm: float
    cavity_half_height_mm: float
    cavity_power: float
    muscle_mm: float
    fat_mm: float
    breast_mm: float
    lung_hu: float
    dependent_hu: float
    lung_texture_hu: float
    blood_hu: float
    vessel_density: float
    vessel_radius_mm: float
    heart_mm: float
    dome_level: float
    stomach_gas: bool
    fissure_hu: float
    slice_thickness_mm: float
    fov_mm: float
    shift_mm: tuple[float, float]
    angle_rad: float
    table_gap_mm: float
    blur_mm: float
    sharpening: float
    noise_hu: float
    noise_correlation_mm: float
    offset_hu: float
    gain: float
    seed: int


def sample_patient(rng: np.random.Generator) -> Patient:
    """Draw a patient and the scanner that saw them.

    Habitus, inspiration, field of view, kernel and dose vary as much as between hospitals, so that no statistic of a
    whole slice tells a lesion from another patient.
    """
    between = rng.uniform
    contrast_agent = rng.random() < 0.35
    sharpness = rng.random()  # a sharp kernel is noisier, as in a real scanner
    return Patient(
        cavity_half_width_mm=between(112, 150),
        cavity_half_height_mm=between(78, 108),
        cavity_power=between(2.1, 2.6),
        muscle_mm=between(10, 22),
        fat_mm=float(np.exp(between(np.log(4), np.log(38)))),
        breast_mm=max(0.0, between(-40, 45)),
        lung_hu=between(-905, -790),
        dependent_hu=between(15, 90),
        lung_texture_hu=between(6, 18),
        blood_hu=between(120, 320) if contrast_agent else between(30, 55),
        vessel_density=between(0.6, 1.4),
        vessel_radius_mm=between(2.0, 3.2),
        heart_mm=between(42, 62),
        dome_level=between(0.7, 0.86),
        stomach_gas=bool(rng.random() < 0.5),
        fissure_hu=between(60, 260),
        slice_thickness_mm=between(1.2, 6.0),
        fov_mm=between(325, 425),
        shift_mm=(between(-12, 12), between(-16, 16)),
        angle_rad=rng.normal(0, 0.05),
        table_gap_mm=between(2, 14),
        blur_mm=1.5 - 1.1 * sharpness,
        sharpening=max(0.0, 1.1 * sharpness - 0.3),
        noise_hu=float(np.exp(between(np.log(9), np.log(42)) + 0.5 * (sharpness - 0.5))),
        noise_correlation_mm=1.9 - 1.2 * sharpness,
        offset_hu=rng.normal(0, 8),
        gain=rng.normal(1, 0.012),
        seed=int(rng.integers(2**31)),
    )
