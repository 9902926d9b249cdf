"""The codebook against plain references and against vector-quantize-pytorch."""

import pytest
import torch
from torch import nn
from vector_quantize_pytorch import VectorQuantize

from anomask.models.quantiser import Quantiser


def make(n_codes=16, width=6, **changes):
    settings = dict(decay=0.9, restart_threshold=0.0, restart_warmup=0, depth=1, shared=True, epsilon=1e-5)
    return Quantiser(width, n_codes, **(settings | changes))


def started(quantiser, tokens, seed=0):
    quantiser.initialise(tokens, torch.Generator().manual_seed(seed))
    return quantiser


def test_codes_are_the_nearest_ones():
    tokens = torch.randn(3, 7, 6)
    quantiser = started(make(), tokens)
    result = quantiser(tokens)
    for b in range(3):
        for n in range(7):
            distances = [(tokens[b, n] - code).square().sum().item() for code in quantiser.codebook]
            assert result.codes[b, n, 0] == min(range(16), key=distances.__getitem__)
            assert torch.equal(result.tokens[b, n], quantiser.codebook[result.codes[b, n, 0]])


def test_codes_and_ema_state_agree_with_vector_quantize_pytorch():
    torch.manual_seed(0)
    ours = started(make(n_codes=32, width=8), torch.randn(2, 64, 8))
    theirs = VectorQuantize(dim=8, codebook_size=32, decay=0.9, threshold_ema_dead_code=0, eps=1e-5)
    book = theirs._codebook
    book.embed.data.copy_(ours.codebook[None])
    book.embed_avg.data.copy_(ours.ema_sums)
    book.cluster_size.data.copy_(ours.ema_counts)
    theirs.train()
    for _ in range(10):
        tokens = torch.randn(2, 64, 8) * 2
        result = ours(tokens)
        _, codes, _ = theirs(tokens)
        assert torch.equal(result.codes[..., 0], codes)
        ours.update(result, torch.Generator())
        torch.testing.assert_close(ours.ema_counts, book.cluster_size)
        torch.testing.assert_close(ours.ema_sums, book.embed_avg)
        torch.testing.assert_close(ours.codebook, book.embed[0], rtol=1e-4, atol=1e-5)


def test_dead_codes_restart_as_tokens_of_the_batch_with_their_state():
    tokens = torch.randn(1, 50, 6)
    quantiser = started(make(restart_threshold=0.5), tokens)
    quantiser.ema_counts[0, :4] = 0.0
    quantiser.ema_sums[0, :4] = 0.0
    quantiser.codebooks[0, :4] = 1e3  # far from everything
    share = quantiser.update(quantiser(tokens), torch.Generator().manual_seed(1))
    assert share == pytest.approx(4 / 16)
    for code in quantiser.codebook[:4]:
        assert (tokens[0] == code).all(1).any()
    torch.testing.assert_close(quantiser.ema_sums[0, :4], quantiser.codebook[:4])
    assert (quantiser.ema_counts[0, :4] == 1).all()


def test_no_restart_during_warmup():
    tokens = torch.randn(1, 50, 6)
    quantiser = started(make(restart_threshold=1e6, restart_warmup=2), tokens)
    generator = torch.Generator()
    assert [float(quantiser.update(quantiser(tokens), generator)) for _ in range(3)] == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("shared", [True, False])
def test_residual_levels_quantise_what_is_left(shared):
    tokens = torch.randn(2, 40, 6)
    quantiser = started(make(depth=3, shared=shared), tokens)
    result = quantiser(tokens)
    rest = tokens
    for level in range(3):
        book = quantiser.codebooks[0 if shared else level]
        code = torch.cdist(rest, book.expand(2, -1, -1)).argmin(2)
        assert torch.equal(code, result.codes[..., level])
        rest = rest - book[code]
    torch.testing.assert_close(result.tokens, tokens - rest)
    torch.testing.assert_close(quantiser.lookup(result.codes), result.tokens)


@pytest.mark.parametrize("shared", [True, False])
def test_more_levels_lower_the_error_once_trained(shared):
    torch.manual_seed(0)
    tokens = torch.randn(4, 128, 6)
    errors = []
    for depth in (1, 2, 3):
        quantiser = started(make(depth=depth, shared=shared, restart_threshold=0.1), tokens)
        for step in range(30):
            quantiser.update(quantiser(tokens), torch.Generator().manual_seed(step))
        errors.append(float((quantiser(tokens).tokens - tokens).square().mean()))
    assert errors[0] > errors[1] > errors[2]


def test_distances_stay_in_float32_under_autocast():
    tokens = 100 + 0.01 * torch.randn(1, 64, 6)  # differences that bfloat16 cannot see
    quantiser = started(make(), tokens)
    plain = quantiser(tokens).codes
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantiser(tokens).codes, plain)


def test_state_survives_saving():
    tokens = torch.randn(1, 50, 6)
    quantiser = started(make(restart_threshold=0.1), tokens)
    quantiser.update(quantiser(tokens), torch.Generator())
    copy = make()
    copy.load_state_dict(quantiser.state_dict())
    assert torch.equal(copy(tokens).codes, quantiser(tokens).codes)
    assert int(copy.updates) == 1


def test_perplexity_counts_effective_codes():
    quantiser = make()
    quantiser.ema_counts[0] = torch.tensor([4.0] * 4 + [0.0] * 12)
    assert float(quantiser.perplexity()) == pytest.approx(4.0)


def test_gradient_goes_straight_through():
    from anomask.models.vqvae import VQVAE

    encoder, decoder = nn.Conv2d(1, 6, 2, 2), nn.ConvTranspose2d(6, 1, 2, 2)
    encoder.stride = decoder.stride = 2
    vqvae = VQVAE(encoder, make(), decoder, 8)
    image = torch.rand(2, 1, 8, 8)
    vqvae.quantiser.initialise(vqvae.encode(image).detach(), torch.Generator().manual_seed(0))
    reconstructed, tokens, quantised = vqvae(image)
    reconstructed.sum().backward()
    assert encoder.weight.grad.abs().sum() > 0
    assert not quantised.tokens.requires_grad
