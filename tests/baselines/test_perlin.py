"""Perlin noise and the masks cut out of it."""

import math

import torch

from anomask.baselines.perlin import PerlinMasks, perlin_noise


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def plain_noise(size, down, across, angle, direction, side):
    """Perlin's definition, pixel by pixel and corner by corner."""
    image = torch.zeros(size, size)
    for row in range(size):
        for column in range(size):
            y, x = (row + 0.5) / size - 0.5, (column + 0.5) / size - 0.5
            v = (math.cos(angle) * y - math.sin(angle) * x + 0.5) * down
            u = (math.sin(angle) * y + math.cos(angle) * x + 0.5) * across
            total = 0.0
            for i in (math.floor(v), math.floor(v) + 1):
                for j in (math.floor(u), math.floor(u) + 1):
                    slope = float(direction[(i % side) * side + j % side])
                    ramp = math.cos(slope) * (v - i) + math.sin(slope) * (u - j)
                    weights = [1 - (6 * t**5 - 15 * t**4 + 10 * t**3) for t in (abs(v - i), abs(u - j))]
                    total += ramp * weights[0] * weights[1]
            image[row, column] = math.sqrt(2) * total
    return image


def test_noise_is_perlins():
    cells, angle = torch.tensor([[2, 4], [1, 2]]), torch.tensor([0.4, 0.0])
    noise = perlin_noise(8, cells, angle, seeded())
    side = 2 * 4 + 2
    direction = 2 * math.pi * torch.rand(2, side * side, generator=seeded())
    for index in range(2):
        wanted = plain_noise(8, *cells[index].tolist(), float(angle[index]), direction[index], side)
        torch.testing.assert_close(noise[index, 0], wanted, rtol=0, atol=1e-5)


def test_noise_is_bounded_and_zero_on_lattice_points():
    assert float(perlin_noise(15, torch.full((4, 2), 5), torch.zeros(4), seeded()).abs().max()) <= 1
    # The centre of the image is a lattice point of an even lattice, however it is turned.
    centre = perlin_noise(5, torch.full((4, 2), 2), torch.tensor([0.0, 0.3, 1.0, -1.5]), seeded())[:, 0, 2, 2]
    assert float(centre.abs().max()) < 1e-6


def test_masks_are_drawn_for_a_share_of_slices_and_from_the_generator_alone():
    image = torch.zeros(400, 1, 16, 16)
    masks = PerlinMasks(finest_power=3, threshold=0.0, rotation=90, chance=0.5)
    first = masks(image, seeded(1))
    torch.rand(3)
    assert torch.equal(first, masks(image, seeded(1))) and not torch.equal(first, masks(image, seeded(2)))
    masked = first.flatten(1).any(1).float().mean()
    assert abs(float(masked) - 0.5) < 0.08
    share = first[first.flatten(1).any(1)].float().mean()
    assert abs(float(share) - 0.5) < 0.06  # the noise is symmetric about 0
    assert not bool(PerlinMasks(3, 0.0, 90, 0.0)(image, seeded()).any())
    assert not bool(PerlinMasks(3, 1.0, 90, 1.0)(image, seeded()).any())


def test_a_finer_lattice_gives_finer_masks():
    image = torch.zeros(60, 1, 32, 32)

    def changes(finest_power):
        mask = PerlinMasks(finest_power, 0.0, 0.0, 1.0)(image, seeded())[:, 0].int()
        return float(mask.diff(dim=2).abs().float().mean())

    assert changes(0) < 0.5 * changes(3)
