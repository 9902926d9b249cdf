"""Location, replacement and the synthesiser that composes them, against slow loops and invariants."""

from functools import partial

import pytest
import torch

from anomask.batches import FrozenFeatures
from anomask.errors import ConfigError
from anomask.synthesis import location, replacement
from anomask.synthesis.draws import SliceDraws
from anomask.synthesis.synthesiser import Synthesiser

WHOLE_BAND = dict(neighbours=None, rank_min=0.0, rank_max=1.0)
LOCATIONS = {
    "salience": location.salience,
    "residual": location.residual,
    "salience_and_residual": location.salience_and_residual,
    "random": location.random,
    "blobs": partial(location.blobs, smallest_share=0.02, most_regions=3, roughness=0.5),
}
DRAWS = {"pooled": replacement.pooled, "own": replacement.own, "coherent": replacement.coherent}


def example(batch=3, n_tokens=64, width=6, n_codes=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    codebook = torch.randn(n_codes, width, generator=generator)
    tokens = torch.randn(batch, n_tokens, width, generator=generator)
    codes = torch.cdist(tokens, codebook.expand(batch, -1, -1)).argmin(2)
    values = torch.rand(2, batch, n_tokens, generator=generator)
    return FrozenFeatures(tokens, codebook[codes], codes, values[0], values[1]), codebook


def gen(seed=0, batch=3):
    return SliceDraws(1000 * seed + row for row in range(batch))


@pytest.mark.parametrize("share", [0.02, 0.1, 0.33])
@pytest.mark.parametrize("n_tokens", [16, 64, 256])
@pytest.mark.parametrize("name", ["salience", "residual", "salience_and_residual", "random"])
def test_exactly_m_tokens_of_each_image(name, n_tokens, share):
    features, _ = example(n_tokens=n_tokens)
    mask = LOCATIONS[name](features, torch.ones(3, n_tokens, dtype=torch.bool), share, gen())
    assert mask.sum(1).tolist() == [round(share * n_tokens)] * 3
    assert (mask.sum(1) + (~mask).sum(1) == n_tokens).all()


def test_salience_location_takes_the_highest():
    features, _ = example()
    mask = location.salience(features, torch.ones(3, 64, dtype=torch.bool), 0.1, gen())
    for b in range(3):
        best = sorted(range(64), key=lambda n: -features.salience[b, n].item())[:6]
        assert sorted(best) == mask[b].nonzero().flatten().tolist()


@pytest.mark.parametrize("name", LOCATIONS)
def test_location_stays_in_bounds_even_if_there_is_too_little(name):
    features, _ = example()
    allowed = torch.zeros(3, 64, dtype=torch.bool)
    allowed[0, :3] = True
    allowed[1, 10:40] = True
    mask = LOCATIONS[name](features, allowed, 0.1, gen())
    assert not (mask & ~allowed).any()
    assert mask[2].sum() == 0 and 0 < mask[0].sum() <= 3


def test_blobs_are_connected_regions_of_several_sizes():
    from scipy.ndimage import label

    features, _ = example(batch=64, n_tokens=256)
    blobs = partial(location.blobs, smallest_share=0.01, most_regions=1, roughness=0.0)
    mask = blobs(features, torch.ones(64, 256, dtype=torch.bool), 0.2, gen(batch=64))
    assert all(label(m.view(16, 16).numpy())[1] == 1 for m in mask)
    assert mask.sum(1).min() < 8 and 25 < mask.sum(1).max() <= 51


@pytest.mark.parametrize("name", LOCATIONS)
def test_the_same_generator_gives_the_same_mask(name):
    features, _ = example()
    allowed = torch.ones(3, 64, dtype=torch.bool)
    assert torch.equal(LOCATIONS[name](features, allowed, 0.1, gen(5)), LOCATIONS[name](features, allowed, 0.1, gen(5)))


@pytest.mark.parametrize("band", [(20, 0.0, 1.0), (None, 0.25, 0.75), (5, 0.1, 0.5), (3, 0.0, 1.0)])
def test_candidates_are_the_band_of_the_sorted_neighbours_without_the_own_code(band):
    features, codebook = example(batch=1)
    neighbours, low, high = band
    found = replacement.candidates(features.tokens[0], features.codes[0], codebook, neighbours, low, high)
    for n in range(64):
        own = features.codes[0, n].item()
        order = sorted(range(40), key=lambda j: (features.tokens[0, n] - codebook[j]).square().sum().item())
        order.remove(own)
        wanted = order[round(low * 40) : round(high * 40)][:neighbours]
        assert found[n].tolist() == wanted


@pytest.mark.parametrize("settings", [WHOLE_BAND, dict(neighbours=4, rank_min=0.0, rank_max=1.0)])
@pytest.mark.parametrize("name", DRAWS)
def test_no_replaced_token_keeps_its_code_and_no_other_changes(name, settings):
    features, codebook = example(n_codes=8)
    for seed in range(20):
        mask = location.random(features, torch.ones(3, 64, dtype=torch.bool), 0.3, gen(seed))
        new = DRAWS[name](features.tokens, features.codes, mask, codebook, gen(seed), **settings)
        assert torch.equal(new != features.codes, mask)


def test_pooled_draw_follows_the_slow_loop():
    """Every image's codes come from its own pool of M * k candidates, each slot at most once."""
    features, codebook = example()
    mask = location.random(features, torch.ones(3, 64, dtype=torch.bool), 0.2, gen(1))
    new = replacement.pooled(
        features.tokens, features.codes, mask, codebook, gen(2), neighbours=3, rank_min=0.0, rank_max=1.0
    )
    for b in range(3):
        pool = []
        for n in mask[b].nonzero().flatten().tolist():
            own = features.codes[b, n].item()
            order = (features.tokens[b, n] - codebook).square().sum(1).argsort().tolist()
            order.remove(own)
            pool += order[:3]
        drawn = new[b][mask[b]].tolist()
        assert set(drawn) <= set(pool)
        fallback = 2  # a collision with the own code draws once more from the token's own candidates
        assert all(drawn.count(code) <= pool.count(code) + fallback for code in drawn)


def test_own_draw_uses_every_candidate():
    features, codebook = example(batch=1, n_tokens=16)
    mask = torch.ones(1, 16, dtype=torch.bool)
    settings = dict(neighbours=3, rank_min=0.0, rank_max=1.0)
    near = replacement.candidates(features.tokens[0], features.codes[0], codebook, **settings)
    seen = [set() for _ in range(16)]
    for seed in range(60):
        new = replacement.own(features.tokens, features.codes, mask, codebook, gen(seed, 1), **settings)
        for n in range(16):
            seen[n].add(new[0, n].item())
    assert seen == [set(row.tolist()) for row in near]


def test_coherent_draw_moves_a_region_towards_one_code():
    features, codebook = example(batch=8, n_tokens=64, n_codes=200)
    mask = location.random(features, torch.ones(8, 64, dtype=torch.bool), 0.3, gen(batch=8))
    spread = {}
    for name in ("own", "coherent"):
        new = DRAWS[name](features.tokens, features.codes, mask, codebook, gen(3, 8), **WHOLE_BAND)
        spread[name] = sum(float(codebook[new[b][mask[b]]].var(0).sum()) for b in range(8))
    assert spread["coherent"] < 0.5 * spread["own"]


def test_an_empty_band_is_an_error():
    features, codebook = example(batch=1)
    with pytest.raises(ConfigError, match="no code has a rank"):
        replacement.candidates(features.tokens[0], features.codes[0], codebook, None, 0.5, 0.5)


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("where", LOCATIONS)
def test_corruption_replaces_exactly_the_masked_tokens_by_codes(where, draw):
    features, codebook = example()
    synthesiser = Synthesiser(LOCATIONS[where], partial(DRAWS[draw], **WHOLE_BAND), 0.1)
    tokens, mask = synthesiser(features, codebook, torch.ones(3, 64, dtype=torch.bool), gen())
    assert torch.equal(tokens[~mask], features.quantised[~mask])
    changed = tokens[mask]
    assert (changed[:, None] == codebook).all(2).any(1).all()
    assert not (changed == features.quantised[mask]).all(1).any()


def test_permuting_the_images_permutes_what_is_not_drawn():
    features, codebook = example()
    order = torch.tensor([2, 0, 1])
    permuted = FrozenFeatures(*(part[order] for part in features))
    allowed = torch.ones(3, 64, dtype=torch.bool)
    only_one = partial(replacement.own, neighbours=1, rank_min=0.0, rank_max=1.0)  # one candidate: nothing to draw
    synthesiser = Synthesiser(location.salience, only_one, 0.1)
    tokens, mask = synthesiser(features, codebook, allowed, gen())
    tokens_permuted, mask_permuted = synthesiser(permuted, codebook, allowed, gen())
    assert torch.equal(tokens[order], tokens_permuted) and torch.equal(mask[order], mask_permuted)


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("where", LOCATIONS)
def test_a_slice_is_corrupted_alike_in_whatever_batch_it_is(where, draw):
    features, codebook = example()
    synthesiser = Synthesiser(LOCATIONS[where], partial(DRAWS[draw], **WHOLE_BAND), 0.1)
    allowed = torch.ones(3, 64, dtype=torch.bool)
    allowed[1, 5:] = False  # fewer corrupted tokens: the next slice's draws must not depend on it
    joint = synthesiser(features, codebook, allowed, gen())
    for rows in ([2], [2, 0], [1, 2]):
        part = FrozenFeatures(*(values[rows] for values in features))
        tokens, mask = synthesiser(part, codebook, allowed[rows], SliceDraws(rows))
        assert torch.equal(mask, joint.mask[rows]) and torch.equal(tokens, joint.tokens[rows])


def test_blobs_are_centred_on_allowed_tokens_in_equal_shares():
    """Small discs land on their centre alone, so their places are those that were drawn."""
    features, _ = example(batch=2000, n_tokens=16)
    allowed = torch.zeros(2000, 16, dtype=torch.bool)
    allowed[:, [1, 6, 15]] = True
    blobs = partial(location.blobs, smallest_share=0.05, most_regions=1, roughness=0.0)
    counts = blobs(features, allowed, 0.06, gen(batch=2000)).sum(0)
    assert counts.sum() == 2000 and counts[[1, 6, 15]].sum() == 2000
    assert (counts[[1, 6, 15]] - 2000 / 3).abs().max() < 4 * (2000 * 2 / 9) ** 0.5  # four standard deviations


def test_residual_levels_below_the_first_are_kept():
    features, codebook = example()
    finer = 0.01 * torch.randn_like(features.quantised)
    features = features._replace(quantised=features.quantised + finer)
    synthesiser = Synthesiser(location.random, partial(replacement.own, **WHOLE_BAND), 0.2)
    tokens, mask = synthesiser(features, codebook, torch.ones(3, 64, dtype=torch.bool), gen())
    nearest = codebook[torch.cdist(tokens - finer, codebook.expand(3, -1, -1)).argmin(2)]
    torch.testing.assert_close(tokens - finer, nearest, rtol=1e-4, atol=1e-5)
