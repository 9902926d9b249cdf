"""DSR: codes drawn from the published window, what is trained, and a defect that must be found."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from anomask.baselines.dsr import DSR
from anomask.baselines.perlin import PerlinMasks
from anomask.baselines.segmenter import Segmenter
from anomask.errors import ConfigError
from anomask.models.decoder import SubpixelDecoder
from anomask.models.encoder import PatchEncoder
from anomask.models.quantiser import Quantiser
from anomask.models.vqvae import VQVAE
from tests.baselines.toy_synthesis import SIZE, discs, normals, pixel_auroc, seeded, train, with_defects


def codebook(depth=1, n_codes=40, seed=0):
    """A VQ-VAE of stride 4 with random codes about the tokens."""
    torch.manual_seed(seed)
    encoder, decoder = PatchEncoder(8, [16], 4, 1), SubpixelDecoder(8, [16], 4, 1)
    return VQVAE(encoder, Quantiser(8, n_codes, 0.9, 0.0, 0, depth, True, 1e-5), decoder, SIZE)


class GreyEncoder(nn.Module):
    """A token is the mean grey value g of 4 x 4 pixels, as (z, -z, z, -z) with z = 4 g - 2."""

    stride = 4

    def forward(self, image):
        return (4 * F.avg_pool2d(image, 4) - 2) * torch.tensor([1.0, -1.0, 1.0, -1.0]).view(-1, 1, 1)


class GreyDecoder(nn.Module):
    """Its inverse; the weights can be trained."""

    stride = 4

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -1.0, 1.0, -1.0]) / 16)
        self.bias = nn.Parameter(torch.tensor(0.5))

    def forward(self, grid):
        return F.interpolate(torch.einsum("bchw,c->bhw", grid, self.weight)[:, None] + self.bias, scale_factor=4)


def grey_codebook():
    """A VQ-VAE that is exact by construction: 40 codes for 40 grey values."""
    quantiser = Quantiser(4, 40, 0.9, 0.0, 0, 1, True, 1e-5)
    levels = 4 * torch.linspace(0, 1, 40)[:, None] - 2
    quantiser.codebooks[0] = levels * torch.tensor([1.0, -1.0, 1.0, -1.0])
    return VQVAE(GreyEncoder(), quantiser, GreyDecoder(), SIZE)


def dsr(vqvae, strength=(0.2, 1.0), channels=(16, 32)):
    torch.manual_seed(0)
    segmenter = Segmenter([8, 8, 16, 16, 16], "instance", 2.0, 21, SIZE)
    return DSR(vqvae, PerlinMasks(2, 0.3, 90, 0.5), strength, 0.05, list(channels), 10.0, segmenter)


@pytest.fixture(scope="module")
def trained():
    return train(dsr(grey_codebook()), steps=80)


@pytest.mark.slow
def test_a_defect_is_found_and_a_normal_slice_has_none(trained):
    image, masks = normals(24, seeded(1)), discs(24, seeded(2))
    assert pixel_auroc(trained, with_defects(image, masks), masks) > 0.9
    assert pixel_auroc(trained, image, masks) < 0.7  # the same places without the defect; discs keep off the edges


def test_the_codebook_is_frozen_and_all_else_is_trained():
    method = dsr(codebook())
    method.freeze()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    train(method, steps=1)
    after = method.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"restriction", "decoder", "segmenter"}


def test_the_segmenter_teaches_neither_restriction_nor_decoder():
    method = dsr(codebook())
    method.freeze()
    method.image_weight = 0.0
    tokens = method.vqvae.encode(normals(4, seeded()))
    method.restore(tokens)[1].sum().backward()
    assert all(p.grad is not None for p in method.restriction.parameters())  # straight through the codebook
    method.zero_grad()
    method.loss(normals(4, seeded()), seeded()).backward()
    assert all(p.grad is None or not p.grad.any() for p in method.decoder.parameters())


def plain_window(latent, own, book, rank_min, strength):
    """Codes by distance without the token's own; the ranks [5 % of K, lambda_s of K) of them."""
    order = [code for code in (book - latent).square().sum(1).argsort().tolist() if code != own]
    return order[round(rank_min * len(book)) : int(strength * len(book))]


@pytest.mark.parametrize("strength", [0.2, 0.5, 1.0])
def test_codes_are_drawn_from_the_published_window(strength):
    method, generator = dsr(codebook(), (strength, strength)), seeded(4)
    book = method.vqvae.quantiser.codebooks[0].copy_(torch.randn(40, 8, generator=generator))
    latent, mask = torch.randn(20, 64, 8, generator=generator), torch.rand(20, 64, generator=generator) < 0.3
    tokens, quantised = method.corrupt(latent, mask, generator)
    assert torch.equal(tokens[~mask], quantised[~mask])
    own = method.vqvae.quantiser(latent).codes[..., 0]
    drawn = torch.cdist(tokens[mask], book).argmin(1)
    ranks = []
    for token, before, after in zip(latent[mask], own[mask].tolist(), drawn.tolist(), strict=True):
        window = plain_window(token, before, book, 0.05, strength)
        assert after in window
        ranks.append(window.index(after))
    assert set(ranks) == set(range(len(window)))  # the whole window is used


def test_finer_residual_levels_stay():
    method, generator = dsr(codebook(depth=2)), seeded(4)
    book = method.vqvae.quantiser.codebooks[0].copy_(torch.randn(40, 8, generator=generator))
    latent, mask = torch.randn(2, 64, 8, generator=generator), torch.ones(2, 64, dtype=torch.bool)
    tokens, quantised = method.corrupt(latent, mask, generator)
    first = method.vqvae.quantiser(latent).codes[..., 0]
    new = tokens - (quantised - book[first])  # what is left without the finer level is a code, and another one
    distance = (new[:, :, None] - book).square().sum(3)  # [B, N, K]
    assert float(distance.amin(2).max()) < 1e-9 and not bool((distance.argmin(2) == first).any())


def test_a_mask_without_tokens_is_fine():
    method = dsr(codebook())
    tokens, quantised = method.corrupt(torch.randn(2, 64, 8), torch.zeros(2, 64, dtype=torch.bool), seeded())
    assert torch.equal(tokens, quantised)


def test_too_many_halvings_are_an_error():
    with pytest.raises(ConfigError, match="3 halvings, and the token grid is 8 x 8"):
        dsr(codebook(), channels=(4, 4, 4, 4))
