"""Restoration against a loop that keeps nothing, and a case that only a prior can solve."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from anomask.baselines.token_prior import TokenPrior
from anomask.baselines.token_transformer import TokenTransformer, draw
from anomask.baselines.vqvae_residual import VQVAEResidual
from anomask.errors import ConfigError
from anomask.models.quantiser import Quantiser
from anomask.models.vqvae import VQVAE
from tests.baselines.toy import auroc, train

SETTINGS = dict(
    depth=1, heads=2, head_width=8, dropout=0.1, quantile=0.98, restorations=5, sharpness=1.5, sigma=0.0, seed=0
)


class Patches(nn.Module):
    """An encoder, or a decoder, that only rearranges pixels: 4 x 4 patches are tokens of width 16."""

    stride = 4

    def __init__(self, rearrange):
        super().__init__()
        self.rearrange = rearrange

    def forward(self, grid):
        return self.rearrange(grid, self.stride)


def lossless_vqvae(n_codes=4, depth=1):
    """A codebook of flat patches of grey value code / n_codes: such slices are rebuilt exactly."""
    quantiser = Quantiser(
        16, n_codes, decay=0.9, restart_threshold=0.0, restart_warmup=0, depth=depth, shared=True, epsilon=1e-5
    )
    quantiser.codebooks[0] = (torch.arange(n_codes) / n_codes)[:, None].expand(-1, 16)
    return VQVAE(Patches(F.pixel_unshuffle), quantiser, Patches(F.pixel_shuffle), 32)


def chequered(number, seed=0):
    """Codes [number, 8, 8] of a chequerboard of 0 and 2 or of 1 and 3."""
    kind = torch.randint(0, 2, (number, 1, 1), generator=torch.Generator().manual_seed(seed))
    return 2 * ((torch.arange(8)[:, None] + torch.arange(8)) % 2) + kind


def picture(codes):
    return (codes / 4).repeat_interleave(4, -1).repeat_interleave(4, -2)[:, None]


def small_transformer():
    torch.manual_seed(0)
    model = TokenTransformer(n_codes=6, n_tokens=12, depth=2, heads=2, head_width=4, dropout=0.0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.8)  # far from uniform
    return model.eval()


def test_surprise_is_causal_and_normalised():
    model = small_transformer()
    codes = torch.randint(0, 6, (3, 12))
    changed = codes.clone()
    changed[:, 7] = (codes[:, 7] + 1) % 6
    before, after = model.surprise(codes), model.surprise(changed)
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert not torch.isclose(before[:, 7:], after[:, 7:]).all(1).any()
    every = torch.stack([codes.index_fill(1, torch.tensor(7), code) for code in range(6)])
    total = torch.stack([(-model.surprise(each)[:, 7]).exp() for each in every]).sum(0)
    torch.testing.assert_close(total, torch.ones(3))


def restored_slowly(model, codes, limit, uniform):
    """The authors' loop: the whole model again for each place of each restoration."""
    result = codes[:, None].repeat(1, len(uniform), 1)
    for row in range(len(codes)):
        for index, numbers in enumerate(uniform):
            now = result[row, index]
            for place in range(model.n_tokens):
                every = torch.stack([now.index_fill(0, torch.tensor(place), code) for code in range(model.n_codes)])
                surprise = model.surprise(every)[:, place]
                if surprise[now[place]] > limit:
                    now[place] = int((surprise.neg().exp().cumsum(0) <= numbers[place]).sum())
    return result


@pytest.mark.parametrize("limit", [0.0, 2.0, 1e9])
def test_restoration_is_the_slow_loops(limit):
    model = small_transformer()
    generator = torch.Generator().manual_seed(1)
    codes, uniform = torch.randint(0, 6, (3, 12), generator=generator), torch.rand(3, 12, generator=generator)
    with torch.no_grad():
        restored = model.restore(codes, torch.tensor(limit), uniform)
        assert torch.equal(restored, restored_slowly(model, codes, limit, uniform))
    unchanged = (restored == codes[:, None]).float().mean()
    assert unchanged == 1 if limit == 1e9 else 0 < unchanged < 1


def test_draws_follow_the_probabilities():
    probability = torch.tensor([0.5, 0.0, 0.2, 0.3])
    uniform = (torch.arange(1000) + 0.5) / 1000
    counts = draw(probability.expand(1000, 4), uniform).bincount(minlength=4)
    assert counts.tolist() == [500, 0, 200, 300]


def test_lambda_is_the_quantile_of_the_normals_and_nothing_is_likely_before():
    method = TokenPrior(lossless_vqvae(), **(SETTINGS | dict(quantile=0.9))).eval()
    image = picture(torch.randint(0, 4, (10, 8, 8)))
    residual = VQVAEResidual(lossless_vqvae(), sigma=0.0)
    torch.testing.assert_close(method.anomaly_map(image), residual.anomaly_map(image))
    with torch.no_grad():
        method.fit(image.split(3))
        surprise = method.prior.surprise((4 * image[:, 0, ::4, ::4]).long().flatten(1))
    assert (surprise > method.limit).sum() == 64  # of 640


def test_a_known_code_in_the_wrong_place_is_found_by_the_prior_alone():
    normals = picture(chequered(64))
    codes = chequered(16, seed=1)
    mask = torch.zeros(16, 8, 8, dtype=torch.bool)
    mask[:, 3:5, 4:6] = True
    image = picture(torch.where(mask, (codes + 1) % 4, codes))
    mask = mask.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, None]
    vqvae = lossless_vqvae()
    residual = VQVAEResidual(vqvae, sigma=0.0)
    torch.manual_seed(0)
    method = TokenPrior(vqvae, **(SETTINGS | dict(quantile=0.999)))
    train(method, normals, 60, rate=1e-2)
    assert auroc(method.anomaly_map(image), mask) > 0.95
    assert auroc(residual.anomaly_map(image), mask) == pytest.approx(0.5, abs=0.01)
    torch.testing.assert_close(method.restore(image).median(1).values, picture(codes)[:, 0])


def test_the_map_is_the_weighted_mean_of_the_residuals(monkeypatch):
    method = TokenPrior(lossless_vqvae(), **(SETTINGS | dict(restorations=2)))
    image = torch.zeros(1, 1, 32, 32)
    restored = torch.stack([torch.full((32, 32), 0.5), torch.full((32, 32), 1.0)])[None]
    monkeypatch.setattr(method, "restore", lambda image: restored)
    near, far = torch.tensor([1.5 / 0.5, 1.5 / 1.0]).softmax(0)
    torch.testing.assert_close(method.anomaly_map(image), torch.full((1, 1, 32, 32), float(near * 0.5 + far * 1.0)))


def test_codebooks_of_several_levels_and_impossible_quantiles_are_errors():
    with pytest.raises(ConfigError, match="2 residual levels"):
        TokenPrior(lossless_vqvae(depth=2), **SETTINGS)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        TokenPrior(lossless_vqvae(), **(SETTINGS | dict(quantile=1.0)))
