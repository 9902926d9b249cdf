"""A codebook's view of a slice: channels by hand, and frozen for good."""

import pytest
import torch

from anomask.build import build_vqvae
from anomask.errors import ConfigError
from anomask.models.codebook_view import CodebookView
from anomask.models.pixel_detector import PixelDetector
from anomask.models.unet import PixelUNet
from tests.conftest import TINY, settings_of


@pytest.fixture
def vqvae():
    torch.manual_seed(0)
    return build_vqvae(settings_of(*TINY, "data.folder=none")).eval()


def test_residual_and_distance_are_those_of_the_frozen_codebook(vqvae):
    image = torch.rand(2, 1, 32, 32)
    found = CodebookView(vqvae, ["residual", "distance"], squeezed=3)(image)
    latent = vqvae.encode(image)
    tokens = vqvae.quantiser(latent).tokens
    torch.testing.assert_close(found[:, :1], 10 * (image - vqvae.decode(tokens)))
    away = (latent - tokens).norm(dim=2)
    torch.testing.assert_close(found[:, 1].mean((1, 2)), away.mean(1), rtol=0.05, atol=1e-3)
    assert found.shape == (2, 2, 32, 32)


def test_the_codebook_is_frozen_and_the_squeezed_tokens_learn(vqvae):
    view = CodebookView(vqvae, ["tokens", "residual"], squeezed=3)
    detector = PixelDetector(PixelUNet([4, 4, 8, 8, 8, 4], "batch", view.count), view).train()
    assert view.count == 4 and not vqvae.training
    before = {name: value.clone() for name, value in vqvae.state_dict().items()}
    detector(torch.rand(2, 1, 32, 32)).sum().backward()
    assert view.squeeze.weight.grad is not None and all(p.grad is None for p in vqvae.parameters())
    assert all(torch.equal(value, before[name]) for name, value in vqvae.state_dict().items())


@pytest.mark.parametrize("channels", [[], ["residuals"]])
def test_unknown_channels_are_errors(vqvae, channels):
    with pytest.raises(ConfigError, match=r"model\.view\.channels is .*residual, distance, tokens"):
        CodebookView(vqvae, channels, 3)
