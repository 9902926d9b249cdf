"""FROC by hand and against a slow reference."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from anomask.errors import DataError
from anomask.metrics.lesions import APART, RATES, LesionMetrics, peaks


def maps_with_lesions(slices=8, size=64, seed=0):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random((slices, size, size)), (0, 2, 2))
    texture = ndimage.gaussian_filter(rng.standard_normal((slices, size, size)), (0, 3, 3))
    mask = texture > np.quantile(texture, 0.95)
    maps = (smooth + 0.02 * mask).astype(np.float32)
    return torch.from_numpy(maps)[:, None], torch.from_numpy(mask)[:, None]


def slow_froc(maps, masks, rate):
    """Every threshold in turn: candidates above it, the lesions they hit, the false ones among them."""
    radius = max(1, round(APART * masks.shape[-1]))
    found = torch.stack([torch.from_numpy(peaks(image[0].numpy(), radius))[None] for image in maps])
    best = 0.0
    for threshold in maps[found].unique():
        hits = lesions = alarms = 0
        for image, mask, peak in zip(maps[:, 0], masks[:, 0], found[:, 0], strict=True):
            labels, count = ndimage.label(mask.numpy(), np.ones((3, 3)))
            kept = (peak & (image >= threshold)).numpy()
            hits += len(set(labels[kept].tolist()) - {0})
            alarms += int((labels[kept] == 0).sum())
            lesions += count
        if alarms / len(maps) <= rate:
            best = max(best, hits / lesions)
    return best


def test_agrees_with_a_slow_reference():
    maps, masks = maps_with_lesions()
    metric = LesionMetrics()
    metric.update(maps, masks)
    found = metric.compute()
    for rate in RATES:
        assert found[f"all_at_{rate:g}"] == pytest.approx(slow_froc(maps, masks, rate), abs=1e-9)
    assert found["all_mean"] == pytest.approx(np.mean([found[f"all_at_{rate:g}"] for rate in RATES]))
    assert found["n_all"] == sum(ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks[:, 0].numpy())


def test_sizes_and_rates_by_hand():
    maps, mask = torch.zeros(1, 1, 100, 100), torch.zeros(1, 1, 100, 100, dtype=torch.bool)
    mask[..., 10:12, 10:12] = True  # 2 px of 100: small; hit at 0.9
    mask[..., 40:70, 40:70] = True  # large; hit at 0.5, below the false alarm
    mask[..., 80:88, 10:18] = True  # medium; missed
    maps[..., 10, 10], maps[..., 50, 50], maps[..., 20, 80] = 0.9, 0.5, 0.7
    metric = LesionMetrics()
    metric.update(maps, mask)
    found = metric.compute()
    assert [found[f"n_{name}"] for name in ("all", "small", "medium", "large")] == [3, 1, 1, 1]
    assert found["all_at_0.5"] == pytest.approx(1 / 3) and found["all_at_1"] == pytest.approx(2 / 3)
    assert found["small_at_0.125"] == 1.0 and found["large_at_0.125"] == 0.0 and found["large_at_1"] == 1.0
    assert found["medium_mean"] == 0.0


def test_equal_neighbours_are_one_candidate_and_zeros_are_none():
    maps, mask = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    mask[..., 25:28, 25:28] = True
    maps[..., 5:9, 5:9] = 0.5  # a plateau outside
    maps[..., 26, 26] = 0.4
    metric = LesionMetrics()
    metric.update(maps, mask)
    assert int(metric.alarms.sum()) == 1
    assert metric.compute()["all_at_0.5"] == 0.0 and metric.compute()["all_at_1"] == 1.0


def test_a_constant_map_hits_nothing():
    """Its one plateau touches every lesion: with a hit by touching it had every lesion and not one false positive."""
    mask = maps_with_lesions()[1]
    metric = LesionMetrics()
    metric.update(torch.full(mask.shape, 0.5), mask)
    found = metric.compute()
    assert found["all_mean"] == 0.0 and int(metric.alarms.sum()) == len(mask)


@pytest.mark.parametrize(("outside", "hit"), [(6, True), (9, True), (12, False)])
def test_a_plateau_hits_what_holds_half_of_it(outside, hit):
    maps, mask = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    mask[..., 20:23, 20:23] = True
    maps[..., 20:23, 20 : 23 + outside // 3] = 0.5  # 9 px inside and so many outside
    metric = LesionMetrics()
    metric.update(maps, mask)
    assert (metric.compute()["all_at_0.125"], int(metric.alarms.sum())) == (float(hit), int(not hit))
    mask[..., 20:23, 20 + outside // 3 - 2 : 20 + outside // 3] = True  # a second lesion in the same plateau's end
    both = LesionMetrics()
    both.update(maps, mask)
    assert both.compute()["all_at_0.125"] == 1.0 and int(both.alarms.sum()) == 0


def test_only_the_lung_counts_and_updates_add_up():
    maps, masks = maps_with_lesions()
    lung = torch.zeros_like(masks)
    lung[..., :32] = True
    cut, whole, parts = LesionMetrics(), LesionMetrics(), LesionMetrics()
    cut.update(maps, masks, lung)
    assert cut.compute()["n_all"] == sum(ndimage.label(m, np.ones((3, 3)))[1] for m in (masks & lung)[:, 0].numpy())
    whole.update(maps, masks)
    for row in range(len(maps)):
        parts.update(maps[row : row + 1], masks[row : row + 1])
    assert parts.compute() == whole.compute()


def test_without_lesions_it_is_not_defined_and_nan_is_an_error():
    metric = LesionMetrics()
    assert metric.compute()["all_mean"] is None
    metric.update(torch.rand(2, 1, 16, 16), torch.zeros(2, 1, 16, 16, dtype=torch.bool))
    assert metric.compute()["all_at_1"] is None and metric.compute()["n_slices"] == 2
    with pytest.raises(DataError, match="NaN"):
        metric.update(torch.full((1, 1, 4, 4), float("nan")), torch.zeros(1, 1, 4, 4, dtype=torch.bool))
