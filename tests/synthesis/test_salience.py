"""Salience against slow loops that follow method.md section 3 word for word."""

import math

import pytest
import torch

from anomask.synthesis.salience import (
    channel_variance,
    entropy_change,
    leave_one_out_entropy,
    per_image_minmax,
    principal_projection,
    token_salience,
)

SHAPES = [(1, 16, 12), (3, 64, 20), (2, 256, 32)]


def structured(batch, n_tokens, width, seed=0):
    """Tokens with a falling spectrum, as encoders give."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(batch, n_tokens, width, generator=generator) * 0.6 ** torch.arange(width)
    return mixed @ torch.linalg.qr(torch.randn(width, width, generator=generator)).Q + 3.0


def plain_entropy(matrix):
    values = torch.linalg.eigvalsh(matrix.double()).clamp(min=0)
    shares = values / values.sum()
    return -sum(p * math.log(p) for p in shares.tolist() if p > 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_closed_form_equals_the_naive_leave_one_out(shape):
    projected = principal_projection(structured(*shape), 4, 8, 8)
    found = leave_one_out_entropy(projected.double())
    for b in range(shape[0]):
        y = projected[b].double()
        whole = plain_entropy(y.T @ y / len(y))
        for n in range(0, shape[1], 5):
            rest = torch.cat([y[:n], y[n + 1 :]])
            rest = rest - rest.mean(0)  # without the token the mean moves too
            assert found[b, n] == pytest.approx(abs(plain_entropy(rest.T @ rest) - whole), abs=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_projection_finds_the_principal_directions(shape):
    tokens = structured(*shape)
    projected = principal_projection(tokens, 4, 8, 4)
    for b in range(shape[0]):
        centred = tokens[b] - tokens[b].mean(0)
        left, values, _ = torch.linalg.svd(centred, full_matrices=False)
        reference = left[:, :4] * values[:4]
        signs = (reference * projected[b]).sum(0).sign()
        torch.testing.assert_close(projected[b], reference * signs, rtol=1e-2, atol=1e-2 * float(values[0]) / 10)


@pytest.mark.parametrize("shape", SHAPES)
def test_projected_columns_are_orthogonal_and_sorted(shape):
    projected = principal_projection(structured(*shape), 4, 8, 4)
    gram = projected.transpose(1, 2) @ projected
    variances = gram.diagonal(dim1=1, dim2=2)
    assert (variances.diff(dim=1) <= 1e-4 * variances[:, :1]).all()
    off = gram - torch.diag_embed(variances)
    assert off.abs().max() < 1e-4 * variances.max()


def test_variance_equals_the_library_one():
    tokens = structured(2, 32, 20)
    torch.testing.assert_close(channel_variance(tokens), tokens.var(2))


def test_a_token_that_is_all_the_variance_takes_the_whole_entropy_with_it():
    tokens = torch.zeros(1, 16, 4)
    tokens[0, 3] = torch.tensor([1.0, 2.0, 0.0, 0.0])
    centred = tokens - tokens.mean(1, keepdim=True)
    found = leave_one_out_entropy(principal_projection(centred, 2, 2, 4))
    assert found.abs().max() < 1e-5  # one direction alone has no entropy to lose
    assert (leave_one_out_entropy(torch.zeros(1, 4, 2)) == 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_permuting_tokens_permutes_salience(shape):
    tokens = structured(*shape)
    order = torch.randperm(shape[1], generator=torch.Generator().manual_seed(1))
    before = token_salience(tokens, 4, 0.5, 1.0)
    torch.testing.assert_close(token_salience(tokens[:, order], 4, 0.5, 1.0), before[:, order], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_image_has_its_own_salience(shape):
    tokens = torch.cat([structured(*shape), 5 * structured(1, *shape[1:], seed=9)])
    together = token_salience(tokens, 4, 0.5, 1.0)
    alone = torch.cat([token_salience(image[None], 4, 0.5, 1.0) for image in tokens])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(token_salience(tokens.flip(0), 4, 0.5, 1.0), together.flip(0), rtol=1e-3, atol=1e-3)


def test_salience_is_the_weighted_sum_of_its_scaled_terms():
    tokens = structured(2, 64, 20)
    expected = 0.5 * per_image_minmax(entropy_change(tokens, 4)) + 2.0 * per_image_minmax(channel_variance(tokens))
    torch.testing.assert_close(token_salience(tokens, 4, 0.5, 2.0), expected)
    assert token_salience(tokens, 4, 0.5, 2.0).aminmax().max <= 2.5


def test_a_constant_image_gives_finite_salience():
    assert torch.isfinite(token_salience(torch.ones(2, 16, 12), 4, 0.5, 1.0)).all()
    assert (per_image_minmax(torch.ones(2, 16)) == 0).all()
