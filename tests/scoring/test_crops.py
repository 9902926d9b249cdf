"""Crops by hand, and that what is found in them comes back to its place."""

import pytest
import torch
import torch.nn.functional as F

from anomask.errors import ConfigError
from anomask.scoring.crops import Crops


def test_nine_crops_of_eight_pixels_by_hand():
    image = torch.arange(64.0).view(1, 1, 8, 8)
    views = Crops(zoom=2.0, per_side=3).cut(image)
    assert len(views) == 9 and all(view.shape == image.shape for view in views)
    for view, (top, left) in zip(views, [(top, left) for top in (0, 2, 4) for left in (0, 2, 4)], strict=True):
        part = image[..., top : top + 4, left : left + 4]
        assert torch.equal(view, F.interpolate(part, (8, 8), mode="bilinear"))


@pytest.mark.parametrize(("zoom", "per_side"), [(1.5, 2), (2.0, 2), (2.0, 3), (1.3, 4), (7.0, 7)])
def test_every_pixel_is_seen_and_a_constant_stays(zoom, per_side):
    crops = Crops(zoom, per_side)
    joined = crops.join(crops.cut(torch.full((2, 1, 30, 30), 0.7)))
    torch.testing.assert_close(joined, torch.full((2, 1, 30, 30), 0.7))


def test_what_is_found_comes_back_to_its_place():
    ramp = torch.linspace(0, 1, 64).expand(64, 64)
    image = torch.stack([ramp, ramp.T])[:, None]
    crops = Crops(1.5, 2)
    torch.testing.assert_close(crops.join(crops.cut(image)), image, rtol=0.0, atol=0.01)


def test_the_middle_of_a_crop_counts_more_than_its_border():
    maps = [torch.full((1, 1, 30, 30), value) for value in (1.0, 0.0, 0.0, 0.0)]
    joined = Crops(1.5, 2).join(maps)[0, 0]
    assert joined[0, 0] == 1 and joined[-1, -1] == 0  # seen by one crop alone
    assert joined[0, 12] > 0.5 > joined[0, 17]  # both see columns 10 to 19
    assert bool((joined.diff(dim=0) <= 1e-6).all())


@pytest.mark.parametrize(("zoom", "per_side"), [(1.0, 2), (2.5, 2), (1.2, 1)])
def test_crops_that_do_not_enlarge_or_leave_gaps_are_errors(zoom, per_side):
    with pytest.raises(ConfigError, match="scoring.crops has zoom"):
        Crops(zoom, per_side)
