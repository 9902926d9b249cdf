"""Totals in little memory: the figures of the metric that they stand for."""

import pytest
import torch

from anomask.metrics.pixel import PixelMetrics, pixel_sample, pixel_truth
from anomask.metrics.pixel_totals import PixelTotals, total_figures


def test_totals_are_the_metric_in_less_memory():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(6, 1, 32, 32, generator=generator).square()
    masks = torch.zeros(6, 1, 32, 32, dtype=torch.bool)
    masks[:, :, 4:9, 5:12] = masks[2:, :, 20:24, 20:30] = True
    metric, parts = PixelMetrics(0.5), [PixelTotals(0.5), PixelTotals(0.5)]
    for row in range(len(maps)):
        sample = pixel_sample(maps[row : row + 1], pixel_truth(masks[row : row + 1]), 0.5)
        metric.add(sample)
        parts[row % 2].add(sample)
    assert total_figures(parts) == pytest.approx(metric.counts() | metric.compute(), rel=1e-12)
    assert torch.equal(sum(part.histograms()[0] for part in parts).long(), metric.positives)
    assert parts[0].held.numel() < 0.4 * parts[0].histograms().numel()
