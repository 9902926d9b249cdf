"""The pixel refiner: shapes, what it sees, and how it fails."""

import pytest
import torch

from anomask.errors import ConfigError
from anomask.models.refiner import PixelRefiner


def test_a_logit_a_pixel_from_slice_residual_and_tokens():
    refiner = PixelRefiner(12, [4, 6, 8], 8).eval()
    image, residual, tokens = torch.rand(2, 1, 64, 64), torch.randn(2, 1, 64, 64) * 0.1, torch.randn(2, 12, 8, 8)
    logits = refiner(image, residual, tokens)
    assert logits.shape == image.shape
    for changed in ((image.flip(3), residual, tokens), (image, residual.flip(3), tokens), (image, residual, -tokens)):
        assert not torch.equal(refiner(*changed), logits)
    torch.testing.assert_close(refiner(image[1:], residual[1:], tokens[1:]), logits[1:])


@pytest.mark.parametrize("stride", [2, 4, 16])
def test_other_token_grids(stride):
    refiner = PixelRefiner(12, [4, 6, 8, 8][: stride.bit_length() - 1], stride)
    image, tokens = torch.rand(2, 1, 32, 32), torch.randn(2, 12, 32 // stride, 32 // stride)
    assert refiner(image, image, tokens).shape == image.shape


def test_the_restorer_gets_no_gradient_from_it():
    residual = torch.randn(2, 1, 32, 32, requires_grad=True)
    tokens = torch.randn(2, 12, 4, 4, requires_grad=True)
    PixelRefiner(12, [4, 6, 8], 8)(torch.rand(2, 1, 32, 32), residual, tokens).sum().backward()
    assert residual.grad is None and tokens.grad.abs().sum() > 0


def test_it_learns_to_outline_a_spot():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    refiner = PixelRefiner(4, [8, 8], 4)
    optimiser = torch.optim.Adam(refiner.parameters(), 1e-2)
    mask = torch.zeros(4, 1, 32, 32)
    mask[0, :, 5:12, 7:12], mask[2, :, 20:25, 3:9] = 1.0, 1.0
    image = 0.2 + 0.3 * mask + 0.05 * torch.rand(mask.shape, generator=generator)
    tokens = torch.zeros(4, 4, 8, 8)
    for _ in range(60):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(refiner(image, image - 0.2, tokens), mask)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = refiner.eval()(image, image - 0.2, tokens) > 0
    assert (found == mask.bool()).float().mean() > 0.99


def test_channels_that_miss_the_token_grid_are_an_error():
    with pytest.raises(ConfigError, match="ends? on a grid of stride 4; the tokens have stride 8"):
        PixelRefiner(12, [4, 6], 8)
