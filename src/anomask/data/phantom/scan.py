"""One phantom slice: healthy anatomy, at will a lesion, and what the patient's scanner makes of them."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from anomask.data.phantom.anatomy import SOFT_TISSUE_HU, draw_thorax
from anomask.data.phantom.lesions import PAINTERS, draw_lesion
from anomask.data.phantom.patient import Patient
from anomask.data.phantom.shapes import Grid
from anomask.errors import ConfigError

FAMILIES: tuple[str, ...] = tuple(PAINTERS)
LESION_RISE_HU = 50.0  # a lesion is where it adds more than this, about the noise of a low-dose scan


class PhantomSlice(NamedTuple):
    """One slice: `hu` [H, W] float32, `lung_mask` and `lesion_mask` [H, W] bool; the lesion lies in the lungs."""

    hu: np.ndarray
    lung_mask: np.ndarray
    lesion_mask: np.ndarray


def phantom_slice(
    patient: Patient, level: float, size: int, rng: np.random.Generator, family: str | None = None
) -> PhantomSlice:
    """Draw one slice of a patient.

    Anatomy, lesion and noise have sources of their own: the same generator state with and without a family gives the
    same slice with and without the lesion.

    Args:
        patient: from `sample_patient`.
        level: 0 at the apex of the lungs, 1 at their base.
        size: pixels along each side; the spacing is the patient's field of view over it.
        rng: the source of randomness; three integers are taken from it.
        family: one of `FAMILIES`, or None for a healthy slice.

    Returns:
        The slice. The lesion mask is where the lesion, blurred as the slice is, raises healthy lung tissue by more than
        `LESION_RISE_HU`; vessels and air bronchograms that run through a lesion belong to it.

    Raises:
        ConfigError: an unknown family, a level outside [0, 1] or a size below 32.
    """
    if family is not None and family not in PAINTERS:
        raise ConfigError(f"family is {family!r}; wanted one of {', '.join(FAMILIES)} or None. Choose one of them.")
    if not 0 <= level <= 1 or size < 32:
        raise ConfigError(f"level is {level} and size {size}; wanted 0 <= level <= 1 and size >= 32. Change them.")
    of_anatomy, of_lesion, of_noise = (np.random.default_rng(int(seed)) for seed in rng.integers(2**62, size=3))
    thorax = draw_thorax(patient, level, size, of_anatomy)
    blur = patient.blur_mm / _kernel_unit_mm(thorax.grid)
    lung = thorax.lung_distance < 0
    hu, lesion_mask = thorax.hu, np.zeros_like(lung)
    if family is not None:
        lesion = draw_lesion(family, thorax, of_lesion)
        hu = hu + lesion.opacity * np.maximum(SOFT_TISSUE_HU - hu, 0)
        rise = ndimage.gaussian_filter(lesion.extent * (SOFT_TISSUE_HU - thorax.parenchyma_hu), blur)
        lesion_mask = lung & (rise > LESION_RISE_HU)
    return PhantomSlice(_scan(hu, patient, thorax.grid, of_noise), lung, lesion_mask)


def _scan(hu: np.ndarray, patient: Patient, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Blur, sharpen, add noise and miscalibrate a noise-free slice [H, W] in HU as the patient's scanner does.

    The noise is correlated over some millimetres and has little power at coarse scales, as after filtered
    back-projection; it is stronger in the middle, where the rays cross more tissue.
    """
    unit_mm = _kernel_unit_mm(grid)
    seen = ndimage.gaussian_filter(hu, patient.blur_mm / unit_mm)
    seen += patient.sharpening * (seen - ndimage.gaussian_filter(seen, 1.6 / unit_mm))
    white = rng.standard_normal(hu.shape, np.float32)
    fine = ndimage.gaussian_filter(white, patient.noise_correlation_mm / unit_mm)
    noise = fine - 0.7 * ndimage.gaussian_filter(white, 2.5 * patient.noise_correlation_mm / unit_mm)
    across = np.exp(-(grid.x**2 + (1.4 * grid.y) ** 2) / 140**2)
    noise *= (0.6 + 0.6 * across) * patient.noise_hu / noise.std()
    return ((seen + noise + 1000) * patient.gain - 1000 + patient.offset_hu).astype(np.float32)


def _kernel_unit_mm(grid: Grid) -> float:
    """Millimetres of kernel for each pixel: the spacing, until pixels are so coarse that resampling would blur alike.

    Without the limit every patient's slices would be equally sharp at 64 pixels, and sharpness would tell who is ill.
    """
    return min(grid.spacing_mm, 3.4)
