"""Anomaly map, image score, threshold and repair on small cases worked by hand."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from anomask.errors import ConfigError, DataError
from anomask.scoring.anomaly_map import AnomalyMap, smooth
from anomask.scoring.image_score import mean_of_flagged, top_share, total
from anomask.scoring.repair import repair_tokens
from anomask.scoring.threshold import conformal_threshold

PAPER = dict(
    gate="hard", upsampling="nearest", map="product", residual="absolute", residual_sigma=0.0, residual_limit=1.0
)


def inputs():
    image = torch.tensor([[0.9, 0.2, 0.5, 0.5], [0.1, 0.4, 0.5, 0.5]] * 2).view(1, 1, 4, 4)
    restoration = torch.full((1, 1, 4, 4), 0.5)
    probability = torch.tensor([[[0.8, 0.4], [0.5, 0.0]]])
    return image, restoration, probability


def test_the_papers_map_by_hand():
    found = AnomalyMap(**PAPER)(*inputs())[0, 0]
    expected = [[0.32, 0.24, 0, 0], [0.32, 0.08, 0, 0], [0.2, 0.15, 0, 0], [0.2, 0.05, 0, 0]]
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize(
    ("changes", "pixel", "value"),
    [
        ({"gate": "soft", "map": "probability"}, (0, 2), 0.4),
        ({"map": "probability"}, (0, 2), 0.0),
        ({"map": "residual"}, (1, 0), 0.4),
        ({"map": "residual", "residual": "brighter"}, (1, 0), 0.0),
        ({"residual": "brighter"}, (0, 0), 0.32),
    ],
)
def test_each_choice_by_hand(changes, pixel, value):
    assert float(AnomalyMap(**(PAPER | changes))(*inputs())[0, 0][pixel]) == pytest.approx(value)


def test_bilinear_upsampling_stays_between_the_tokens():
    soft = AnomalyMap(**(PAPER | {"gate": "soft", "map": "probability", "upsampling": "bilinear"}))
    found = soft(*inputs())[0, 0]
    assert found[0, 0] == pytest.approx(0.8) and 0.4 < found[0, 1] < 0.8


def test_probabilities_are_smoothed_after_upsampling_and_the_residual_is_not():
    image, restoration, probability = inputs()
    soft = PAPER | {"gate": "soft", "probability_sigma": 1.0}
    upsampled = probability.repeat_interleave(2, 1).repeat_interleave(2, 2)[0].numpy()
    wanted = torch.from_numpy(gaussian_filter(upsampled, 1.0, mode="mirror", truncate=3.0))
    found = AnomalyMap(**(soft | {"map": "probability"}))(image, restoration, probability)[0, 0]
    torch.testing.assert_close(found, wanted)
    product = AnomalyMap(**soft)(image, restoration, probability)[0, 0]
    torch.testing.assert_close(product, wanted * (image - restoration).abs()[0, 0])


def test_an_unknown_choice_is_an_error():
    with pytest.raises(ConfigError, match="scoring.gate is 'firm'; use one of hard, soft"):
        AnomalyMap(**(PAPER | {"gate": "firm"}))


@pytest.mark.parametrize("sigma", [0.7, 2.0])
def test_smoothing_agrees_with_scipy(sigma):
    pixels = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    expected = gaussian_filter(pixels[0, 0].numpy(), sigma, mode="mirror", radius=round(3 * sigma))
    np.testing.assert_allclose(smooth(pixels, sigma)[0, 0].numpy(), expected, atol=1e-6)
    assert smooth(pixels, 0.0) is pixels


def test_image_scores_by_hand():
    maps = torch.tensor([[4.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]).view(2, 1, 2, 2)
    everywhere = torch.ones(2, 1, 2, 2, dtype=torch.bool)
    assert mean_of_flagged(maps, everywhere).tolist() == [2.0, 0.0]
    assert total(maps, everywhere).tolist() == [6.0, 0.0]
    assert top_share(maps, everywhere, share=0.5).tolist() == [3.0, 0.0]
    assert top_share(maps, everywhere, share=0.01).tolist() == [4.0, 0.0]
    within = everywhere.clone()
    within[0, 0, 0, 0] = False
    assert total(maps, within).tolist() == [2.0, 0.0]
    assert top_share(maps, within, share=0.34).tolist() == [2.0, 0.0]
    assert torch.isfinite(top_share(maps, torch.zeros_like(within), share=0.5)).all()


def test_top_share_with_a_lung_counts_lung_pixels_only():
    maps = torch.rand(3, 1, 16, 16)
    within = torch.rand(3, 1, 16, 16) < 0.4
    for image in range(3):
        values = maps[image][within[image]].sort(descending=True).values
        expected = values[: max(1, round(len(values) * 0.1))].mean()
        torch.testing.assert_close(top_share(maps, within, share=0.1)[image], expected)


def test_conformal_threshold_is_the_finite_sample_quantile():
    assert conformal_threshold([3, 1, 2, 4, 5, 6, 7, 8, 9], 0.8) == 8
    assert conformal_threshold(range(1, 20), 0.95) == 19


def test_conformal_threshold_keeps_its_promise_on_fresh_normals():
    rng = np.random.default_rng(0)
    kept = [
        np.mean(rng.exponential(size=200) <= conformal_threshold(rng.exponential(size=39), 0.9)) for _ in range(500)
    ]
    assert np.mean(kept) == pytest.approx(0.9, abs=0.01)


def test_too_few_normals_and_broken_scores_are_errors():
    with pytest.raises(DataError, match="19 are needed"):
        conformal_threshold([1.0] * 10, 0.95)
    with pytest.raises(DataError, match="not finite"):
        conformal_threshold([float("nan")] * 30, 0.9)


def test_repair_fills_flagged_tokens_from_around_ring_by_ring():
    tokens = torch.ones(1, 1, 5, 5)
    flagged = torch.zeros(1, 1, 5, 5, dtype=torch.bool)
    flagged[..., 1:4, 1:4] = True
    tokens[flagged] = 9.0
    once = repair_tokens(tokens, flagged, 1)
    assert once[0, 0, 2, 2] == 9 and (once == 1).sum() == 24
    assert (repair_tokens(tokens, flagged, 2) == 1).all()
    assert torch.equal(repair_tokens(tokens, torch.zeros_like(flagged), 3), tokens)


def test_the_limit_makes_a_thin_bright_vessel_count_by_its_area():
    image, restoration = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    image[..., 16, :] = 0.9  # one pixel thin
    opacity = torch.zeros(1, 1, 32, 32)
    opacity[..., 10:22, 10:22] = 0.2

    def highest(slices, limit):
        changes = {"map": "residual", "residual": "brighter", "residual_sigma": 1.5, "residual_limit": limit}
        return float(AnomalyMap(**(PAPER | changes))(slices, restoration, torch.ones(1, 4, 4)).max())

    assert highest(image, 1.0) > highest(opacity, 1.0)
    assert highest(image, 0.1) < 0.5 * highest(opacity, 0.1) and highest(opacity, 0.1) == pytest.approx(0.1)
