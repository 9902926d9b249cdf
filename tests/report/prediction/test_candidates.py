"""Lesion candidates against a flood fill by hand and worked cases."""

import numpy as np
import pytest

from anomask.report.prediction.candidates import boxes_on_slice, find_candidates


def flood(above):
    """Connected regions as sets of places, by a plain walk over all neighbours that share a corner."""
    left, regions = set(zip(*np.nonzero(above), strict=True)), []
    steps = list(np.ndindex((3,) * above.ndim))
    while left:
        waiting, region = [left.pop()], set()
        while waiting:
            place = waiting.pop()
            region.add(place)
            around = {tuple(p + s - 1 for p, s in zip(place, step, strict=True)) for step in steps} & left
            left -= around
            waiting += around
        regions.append(region)
    return regions


@pytest.mark.parametrize("shape", [(17, 23), (5, 11, 9)])
@pytest.mark.parametrize("min_pixels", [1, 4])
def test_regions_equal_a_flood_fill(shape, min_pixels):
    values = np.random.default_rng(len(shape)).random(shape).astype(np.float32)
    threshold = 0.8 if len(shape) == 2 else 0.88
    found, labels = find_candidates(values, threshold, min_pixels)
    wanted = [region for region in flood(values > threshold) if len(region) >= min_pixels]
    wanted.sort(key=lambda region: -max(values[place] for place in region))
    assert len(found) == len(wanted) > 2
    assert labels.shape == shape and labels.max() == len(found)
    for number, (candidate, region) in enumerate(zip(found, wanted, strict=True), 1):
        assert set(zip(*np.nonzero(labels == number), strict=True)) == region
        places = np.array(sorted(region))
        assert candidate.n_pixels == candidate.size == len(region) and candidate.unit == "px"
        assert candidate.peak_at == max(region, key=lambda place: values[place])
        assert candidate.peak == values[candidate.peak_at]
        np.testing.assert_allclose(candidate.centroid, places.mean(0))
        assert candidate.box == tuple(zip(places.min(0), places.max(0), strict=True))
        assert candidate.peak_mm is candidate.centroid_mm is None


def test_a_worked_case_in_millimetres():
    values = np.zeros((3, 4, 5), np.float32)
    values[1, 1, 2:4], values[1, 1, 3] = 0.5, 0.9
    values[2, 3, 0] = 0.6
    affine = np.array([[0, 0, 2.0, -10], [0, -0.5, 0, 20], [3.0, 0, 0, 100], [0, 0, 0, 1]])  # columns run along x
    (first, second), labels = find_candidates(values, 0.4, 1, (3.0, 0.5, 2.0), affine)
    assert boxes_on_slice(labels[1]) == {1: ((1, 1), (2, 3))} and boxes_on_slice(labels[2]) == {2: ((3, 3), (0, 0))}
    assert boxes_on_slice(labels[0]) == {}
    assert (first.peak, first.peak_at, first.box) == (np.float32(0.9), (1, 1, 3), ((1, 1), (1, 1), (2, 3)))
    assert (first.size, first.unit, first.centroid) == (2 * 3.0, "mm3", (1.0, 1.0, 2.5))
    assert first.peak_mm == (-4.0, 19.5, 103.0) and first.centroid_mm == (-5.0, 19.5, 103.0)
    assert second.peak_at == (2, 3, 0) and find_candidates(values, 0.4, 1, (3.0, 0.5, 2.0))[0][0].peak_mm is None
    assert find_candidates(values[1], 0.4, 1, (0.5, 2.0))[0][0].unit == "mm2"


def test_the_area_is_that_of_the_largest_section():
    values = np.zeros((4, 5, 5), np.float32)
    values[0, 1, 1], values[1, 0:2, 1:4], values[2, 1, 1:3] = 0.5, 0.6, 0.7  # 1, 6 and 2 pixels of one region
    values[3, 4, 4] = 0.9
    one, region = find_candidates(values, 0.4, 1, (3.0, 0.5, 2.0))[0]
    assert (one.n_pixels, one.area_mm2) == (1, 1.0) and (region.n_pixels, region.area_mm2) == (9, 6.0)
    assert find_candidates(values, 0.4, 1)[0][1].area_mm2 is None
    (flat,) = find_candidates(values[1], 0.4, 1, (0.5, 2.0))[0]
    assert flat.area_mm2 == flat.size == 6.0


def test_a_value_at_the_threshold_is_not_above_it_and_a_flat_map_has_none():
    found, labels = find_candidates(np.full((4, 4), 0.3), 0.3, 1)
    assert found == [] and not labels.any()
