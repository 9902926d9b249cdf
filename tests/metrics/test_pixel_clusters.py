"""Resampled pixel figures against computing them again from the pixels."""

import numpy as np
import pytest
import torch

from anomask.errors import RunError
from anomask.metrics.pixel import PixelMetrics, pixel_sample, pixel_truth
from anomask.metrics.pixel_clusters import FIGURES, PixelClusters


def slices(count=24, size=48):
    generator = torch.Generator().manual_seed(0)
    mask = torch.nn.functional.avg_pool2d(torch.rand(count, 1, size, size, generator=generator), 9, 1, 4) > 0.53
    return (torch.rand(mask.shape, generator=generator) * 0.2 + 0.05 * mask).square(), mask


def single(maps, mask, row):
    return pixel_sample(maps[row : row + 1], pixel_truth(mask[row : row + 1]))


@pytest.fixture
def clusters():
    maps, mask = slices()
    found = PixelClusters("patient")
    for row in range(len(maps)):
        found.add(f"p{row // 2:02d}", single(maps, mask, row))
    return found


def test_a_resample_is_what_the_drawn_patients_would_give(clusters):
    maps, mask = slices()
    weights = np.array([[1] * 12, [0, 3, 0, 1, 0, 2, 2, 0, 1, 1, 0, 2]], float)
    found = clusters.figures(weights)
    for row, times in enumerate(weights):
        metric = PixelMetrics()
        for patient, count in enumerate(times.astype(int)):
            for _ in range(count):
                metric.update(maps[2 * patient : 2 * patient + 2], mask[2 * patient : 2 * patient + 2])
        exact = metric.compute()
        for name in FIGURES:
            assert found[name][row] == pytest.approx(exact[name], abs=3e-3)


def test_intervals_hold_the_figure_and_need_ten_clusters(clusters):
    whole = clusters.figures(np.ones((1, 12)))
    for name, found in clusters.intervals(300, seed=0).items():
        assert found.low < whole[name][0] < found.high
        assert (found.unit, found.n_clusters) == ("patient", 12)
    few = PixelClusters("patient")
    few.held = dict(list(clusters.held.items())[:9])
    assert few.intervals(300, seed=0)["ap"] == (None, None, "patient", 9, pytest.approx(9, abs=0.5))
    few.held = clusters.held | {"p00": 100 * clusters.held["p00"]}  # most lesion pixels are one patient's
    assert few.n_effective < 2 and few.intervals(300, seed=0)["ap"].low is None


def test_the_file_gives_the_same_figures(clusters):
    again = PixelClusters.from_arrays(clusters.arrays())
    weights = np.ones((1, 12))
    assert again.figures(weights)["ap"] == pytest.approx(clusters.figures(weights)["ap"], abs=1e-6)
    with pytest.raises(RunError, match="another version"):
        PixelClusters.from_arrays(clusters.arrays() | {"histograms": np.zeros((12, 4, 10))})
