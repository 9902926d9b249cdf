"""The refiner's loss: by slice, painted slices alone."""

import pytest
import torch
import torch.nn.functional as F

from anomask.losses.pixel import PixelLoss


def plain(logits, mask, gamma):
    """Focal plus Dice of one slice, written out."""
    p, y = logits.sigmoid().flatten(), mask.float().flatten()
    entropy = F.binary_cross_entropy(p, y, reduction="none")
    focal = ((1 - torch.where(y > 0, p, 1 - p)) ** gamma * entropy).mean()
    return focal + 1 - (2 * (p * y).sum() + 1e-5) / (p.sum() + y.sum() + 1e-5)


def example():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 1, 8, 8, generator=generator)
    return logits, torch.rand(3, 1, 8, 8, generator=generator) > 0.7


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_it_is_the_mean_over_the_batch_of_painted_slices(gamma):
    logits, mask = example()
    got = PixelLoss(0.5, gamma)(logits, mask, torch.tensor([True, False, True]))
    wanted = 0.5 * (plain(logits[0], mask[0], gamma) + plain(logits[2], mask[2], gamma)) / 3
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_halves_of_a_batch_average_to_the_whole():
    logits, mask = torch.randn(4, 1, 8, 8), torch.rand(4, 1, 8, 8) > 0.8
    painted, loss = torch.tensor([True, False, True, True]), PixelLoss(1.0, 2.0)
    halves = (loss(logits[:2], mask[:2], painted[:2]) + loss(logits[2:], mask[2:], painted[2:])) / 2
    torch.testing.assert_close(loss(logits, mask, painted), halves)


def test_no_painted_slice_is_no_loss():
    logits, mask = example()
    assert PixelLoss(1.0, 2.0)(logits, mask, torch.zeros(3, dtype=torch.bool)) == 0
