"""Looks at a slice are averaged, each in its place."""

import pytest
import torch

from anomask.scoring.crops import Crops
from anomask.scoring.looks import Looks


def test_one_look_is_the_map_itself():
    image = torch.rand(2, 1, 8, 8)
    assert torch.equal(Looks(mirror=False)(lambda seen: seen * 2, image), image * 2)


def test_the_mirror_image_is_turned_back_before_it_is_averaged():
    left = torch.zeros(1, 1, 4, 4)
    left[..., 0] = 1.0  # a network that finds something at the left border, whatever it is shown
    found = Looks(mirror=True)(lambda seen: left, torch.rand(1, 1, 4, 4))
    assert found[0, 0, 0].tolist() == [0.5, 0.0, 0.0, 0.5]


@pytest.mark.parametrize("mirror", [False, True])
def test_crops_count_as_much_as_the_whole_slice(mirror):
    counts = iter(range(100))
    looks = Looks(mirror, Crops(1.5, 2))
    first = 2 if mirror else 1  # looks at the whole slice; what is seen in crops afterwards is 1
    found = looks(lambda seen: torch.full_like(seen, float(next(counts) >= first)), torch.rand(1, 1, 12, 12))
    torch.testing.assert_close(found, torch.full((1, 1, 12, 12), 0.5))
    assert next(counts) == first * 5
