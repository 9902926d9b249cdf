"""Shapes of painted lesions: smooth noise, regions of a given share, nodules of a given size."""

import pytest
import torch
from scipy import ndimage

from anomask.synthesis.draws import SliceDraws
from anomask.synthesis.shapes import log_uniform, nodule_cover, smooth_noise


def gen(batch=16):
    return SliceDraws(range(batch))


def test_log_uniform_numbers_lie_in_the_range_and_spread_on_a_log_scale():
    numbers = log_uniform(1.0, 100.0, gen(400), 1)
    assert numbers.min() >= 1.0 and numbers.max() <= 100.0
    assert 0.4 < (numbers < 10.0).float().mean() < 0.6


def nodules(most=3, radius=(2.0, 6.0), edge=0.1, batch=32):
    lung = torch.zeros(batch, 1, 96, 96, dtype=torch.bool)
    lung[..., 24:72, 24:72] = True
    return lung, nodule_cover(lung, most, radius, torch.full((batch, 1, 1, 1), edge), gen(batch))


def test_nodules_are_one_to_three_compact_spots_of_the_wanted_size():
    lung, cover = nodules()
    assert cover.min() >= 0 and cover.max() == 1
    counts = [ndimage.label(spots[0].numpy())[1] for spots in cover > 0]
    assert min(counts) >= 1 and len(set(counts)) > 1
    assert (cover > 0).flatten(1).sum(1).max() < 0.25 * lung[0].sum()


def test_nodules_lie_where_the_lung_is():
    lung, cover = nodules(radius=(2.0, 3.0))
    assert (cover > 0).sum() > 0
    assert cover[..., :14, :].max() == 0 and cover[..., :14].max() == 0  # ten pixels from the lung
    assert (cover * lung > 0).flatten(1).any(1).all()


def test_larger_radii_make_larger_nodules():
    small, large = nodules(1, (2.0, 2.0))[1], nodules(1, (8.0, 8.0))[1]
    assert (large > 0.5).sum() > 6 * (small > 0.5).sum()


@pytest.mark.parametrize("scale", [2.0, 8.0, 32.0])
def test_noise_has_unit_variance_and_the_wanted_smoothness(scale):
    like = torch.zeros(8, 1, 64, 64)
    noise = smooth_noise(like, torch.full((8, 1, 1, 1), scale), gen(batch=8))
    torch.testing.assert_close(noise.std((2, 3)), torch.ones(8, 1), rtol=1e-3, atol=1e-3)
    neighbour = (noise[..., 1:] * noise[..., :-1]).mean()
    rough = smooth_noise(like, torch.full((8, 1, 1, 1), 0.1), gen(batch=8))
    assert neighbour > (rough[..., 1:] * rough[..., :-1]).mean() + 0.1
