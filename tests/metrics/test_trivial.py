"""Maps that need no model."""

import torch
from scipy import ndimage

from anomask.metrics.trivial import PixelFloors


def test_floors_by_hand():
    generator = torch.Generator().manual_seed(0)
    normals = 0.5 + 0.1 * torch.randn(200, 1, 8, 8, generator=generator)
    floors = PixelFloors(normals.split(33), sigma=0.0)
    assert torch.allclose(floors.mean, normals.double().mean(0)) and torch.allclose(
        floors.std, normals.double().std(0, correction=0)
    )
    image = torch.full((1, 1, 8, 8), 0.9)
    found = floors(image)
    assert list(found) == list(PixelFloors.NAMES)
    assert torch.allclose(found["smoothed intensity"], image)
    assert torch.allclose(found["distance to mean slice"], (0.9 - floors.mean).abs().float()[None], atol=1e-6)
    assert torch.allclose(found["z-score"], ((0.9 - floors.mean).abs() / floors.std).float()[None], atol=1e-5)


def test_smoothing_and_pixels_that_never_change():
    floors = PixelFloors([torch.zeros(3, 1, 16, 16)], sigma=2.0)
    image = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    found = floors(image)
    expected = torch.stack([torch.from_numpy(ndimage.gaussian_filter(one[0].numpy(), 2.0))[None] for one in image])
    assert torch.allclose(found["smoothed intensity"], expected, atol=1e-5)
    assert torch.isfinite(found["z-score"]).all()
