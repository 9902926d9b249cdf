"""Are the numbers of a volume what they are taken for: Hounsfield units, or greys windowed already?"""

import numpy as np

from anomask.data.volumes.geometry import Volume
from anomask.errors import DataError

# Aerated lung and the air around the patient. Less than this share of a chest means that air has another number;
# padding (-2000, -3024) proves nothing.
AIR_HU, LEAST_AIR = (-1100.0, -500.0), 0.002
TISSUE_HU = -300.0  # denser than any lung and fat: muscle, vessels, bone
METAL_HU, MOST_METAL = 4000.0, 0.01  # denser than bone; a volume with more of it holds padding or other numbers
BRIGHTEST = 255.0  # of 8-bit grey
LEAST_BRIGHTEST = 32.0  # greys whose brightest is below it, such as 0 to 1, are of another scale


def check_values(volume: Volume, values: str) -> None:
    """Raise a DataError where the numbers of a volume are not what `values` says, or no numbers.

    Args:
        volume: as read.
        values: 'hu', 'grey' (0 to 255) or 'labels', of which nothing is known.
    """
    low, high = float(volume.hu.min()), float(volume.hu.max())
    if not np.isfinite(low + high):
        raise DataError(f"{volume.source} has voxels that are no numbers (NaN or infinity). Export it again.")
    if values == "hu":
        _check_hounsfield(volume)
    elif values == "grey" and not (low >= 0 and LEAST_BRIGHTEST <= high <= BRIGHTEST):
        raise DataError(
            f"{volume.source} holds values from {low:g} to {high:g}; values=grey means 0 to {BRIGHTEST:.0f}, windowed "
            "already. Use values=hu if they are HU."
        )


def _check_hounsfield(volume: Volume) -> None:
    air = float(((volume.hu > AIR_HU[0]) & (volume.hu < AIR_HU[1])).mean())
    metal = float((volume.hu > METAL_HU).mean())
    if air < LEAST_AIR:
        raise DataError(
            f"{volume.source} has {air:.1%} of its voxels between {AIR_HU[0]:.0f} and {AIR_HU[1]:.0f} (lowest "
            f"{volume.hu.min():.0f}), so its numbers are not HU: air is -1000. If it is windowed already use "
            "values=grey; if an offset was added, such as 1024, subtract it first."
        )
    if volume.hu.max() < TISSUE_HU:
        raise DataError(
            f"{volume.source} has no voxel above {TISSUE_HU:.0f} HU (highest {volume.hu.max():.0f}): it shows air "
            "alone, or its numbers are not HU, such as 8-bit greys under the header of the original. Export the "
            "original series."
        )
    if metal > MOST_METAL:
        raise DataError(
            f"{volume.source} has {metal:.1%} of its voxels above {METAL_HU:.0f} HU (highest {volume.hu.max():.0f}), "
            "denser than bone: its padding is not declared, or its numbers are not HU. Export the original series."
        )
