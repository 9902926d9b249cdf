"""The residual neighbourhood loss against a slow loop, and its promises."""

import pytest
import torch
import torch.nn.functional as F

from anomask.errors import ConfigError
from anomask.losses.codebook import CodebookLoss
from anomask.losses.neighbourhood import NeighbourhoodLoss, neighbourhood_weights, token_counts, window_statistics


def slow_weights(residual, mask, stride, use_mean):
    batch, _, size, _ = residual.shape
    side = size // stride
    result = torch.zeros(batch, side * side)
    for b in range(batch):
        variances, means = [], []
        for n in range(side * side):
            row, column = n // side * stride, n % side * stride
            patch = residual[b, 0, row : row + stride, column : column + stride]
            window = torch.stack(
                [patch[i : i + 2, j : j + 2].mean() for i in range(0, stride, 2) for j in range(0, stride, 2)]
            )
            variances.append(((window - window.mean()) ** 2).mean())
            means.append(window.mean().abs())
        variances, means = torch.stack(variances), torch.stack(means)
        raw = variances / variances.square().sum().sqrt()
        if use_mean:
            raw = raw + means / means.square().sum().sqrt()
        result[b] = raw / raw[mask[b]].max()
    return result


@pytest.mark.parametrize("weight", ["var", "var_mean"])
@pytest.mark.parametrize(("size", "stride"), [(16, 4), (32, 8), (64, 8)])
def test_weights_follow_the_slow_loop(size, stride, weight):
    generator = torch.Generator().manual_seed(0)
    residual = torch.randn(3, 1, size, size, generator=generator)
    mask = torch.rand(3, (size // stride) ** 2, generator=generator) < 0.3
    mask[:, 0] = True
    found = neighbourhood_weights(residual, mask, stride, weight)
    expected = slow_weights(residual, mask, stride, weight == "var_mean")
    torch.testing.assert_close(found[mask], expected[mask])
    assert found.min() >= 0 and found.max() <= 1
    for b in range(3):
        assert found[b][mask[b]].max() == pytest.approx(1.0)


def test_window_statistics_of_a_hand_worked_patch():
    residual = torch.zeros(1, 1, 8, 8)
    residual[0, 0, 0:2, 0:2] = -1.0  # token 0's window of 2 x 2 halved values is [-1, 0, 0, 0]
    variance, mean = window_statistics(residual, 4)
    assert variance.tolist() == [[pytest.approx(3 / 16), 0, 0, 0]]
    assert mean.tolist() == [[pytest.approx(1 / 4), 0, 0, 0]]


def test_each_image_is_scaled_by_itself_and_weights_carry_no_gradient():
    residual = torch.randn(2, 1, 16, 16, requires_grad=True)
    mask = torch.ones(2, 16, dtype=torch.bool)
    weights = neighbourhood_weights(residual, mask, 4, "var_mean")
    louder = torch.cat([residual[:1], 50 * residual[1:]])
    torch.testing.assert_close(neighbourhood_weights(louder, mask, 4, "var_mean"), weights)
    assert not weights.requires_grad


def test_no_residual_and_no_corruption_stay_finite():
    loss = NeighbourhoodLoss(2.0, 1.0, 1.0, "var_mean", 0)
    image, logits = torch.rand(2, 1, 16, 16), torch.randn(2, 16)
    result = loss(image, image, logits, torch.zeros(2, 16, dtype=torch.bool), 4, 0)
    assert torch.isfinite(result.total) and result.anomalous == 0
    result = loss(image, image, logits, torch.ones(2, 16, dtype=torch.bool), 4, 0)
    assert torch.isfinite(result.total) and result.normal == 0


def test_the_loss_is_the_weighted_sum_of_its_parts():
    generator = torch.Generator().manual_seed(0)
    image, restored = (torch.rand(2, 1, 16, 16, generator=generator) for _ in range(2))
    logits = torch.randn(2, 16, generator=generator)
    mask = torch.rand(2, 16, generator=generator) < 0.4
    result = NeighbourhoodLoss(2.0, 3.0, 5.0, "var_mean", 0)(image, restored, logits, mask, 4, 0)
    weights = neighbourhood_weights(restored - image, mask, 4, "var_mean")
    anomalous = torch.stack([w * F.softplus(-z) for w, z in zip(weights[mask], logits[mask], strict=True)]).mean()
    normal = F.softplus(logits[~mask]).mean()
    torch.testing.assert_close(result.anomalous, anomalous)
    torch.testing.assert_close(result.normal, normal)
    torch.testing.assert_close(result.total, 2 * F.mse_loss(restored, image) + 3 * normal + 5 * anomalous)


def test_shares_with_unequal_counts_average_to_the_joint_loss_only_with_their_mean_counts():
    generator = torch.Generator().manual_seed(0)
    image, restored = (torch.rand(4, 1, 16, 16, generator=generator) for _ in range(2))
    logits = torch.randn(4, 16, generator=generator)
    mask = torch.zeros(4, 16, dtype=torch.bool)
    mask[0, :1], mask[1, :2], mask[2, :9], mask[3, :12] = True, True, True, True
    loss = NeighbourhoodLoss(2.0, 3.0, 5.0, "var_mean", 0)
    joint = loss(image, restored, logits, mask, 4, 0)
    parts = [(image[rows], restored[rows], logits[rows], mask[rows]) for rows in (slice(0, 2), slice(2, 4))]
    counts = torch.stack([token_counts(part[3]) for part in parts]).mean(0)

    def mean(counts):
        return sum(loss(*part, 4, 0, counts).total for part in parts) / 2

    torch.testing.assert_close(mean(counts), joint.total)
    assert abs(float(mean(None) - joint.total)) > 0.02 * float(joint.total)
    nothing = loss(*parts[0][:3], torch.zeros(2, 16, dtype=torch.bool), 4, 0, torch.tensor([32.0, 0.0]))
    assert nothing.anomalous == 0 and torch.isfinite(nothing.total)


def test_the_warmup_goes_from_unweighted_to_weighted():
    generator = torch.Generator().manual_seed(0)
    image, restored = (torch.rand(2, 1, 16, 16, generator=generator) for _ in range(2))
    logits, mask = torch.randn(2, 16, generator=generator), torch.ones(2, 16, dtype=torch.bool)
    call = lambda weight, warmup, step: (
        NeighbourhoodLoss(0, 1, 1, weight, warmup)(image, restored, logits, mask, 4, step).anomalous
    )
    torch.testing.assert_close(call("var", 10, 0), call("off", 0, 0))
    torch.testing.assert_close(call("var", 10, 10), call("var", 0, 0))
    torch.testing.assert_close(call("var", 10, 5), (call("off", 0, 0) + call("var", 0, 0)) / 2)


def test_an_unknown_weight_is_an_error():
    with pytest.raises(ConfigError, match="off, var, var_mean"):
        NeighbourhoodLoss(1, 1, 1, "mean", 0)


def test_codebook_loss_by_hand():
    one, zero = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    tokens = torch.full((1, 4, 3), 2.0, requires_grad=True)
    result = CodebookLoss(2.0, 0.25)(one, zero, tokens, torch.zeros(1, 4, 3))
    assert (float(result.reconstruction), float(result.commitment), float(result.total)) == (1.0, 4.0, 3.0)
