"""The memory against a slow reference, its sparsity, and toy defects."""

import math

import pytest
import torch

from anomask.baselines.memae import MemAE, Memory, entropy
from tests.baselines.toy import auroc, defects, stripes, train


def make(**changes):
    settings = dict(channels=[8, 16], bottleneck=8, items=50, shrink=1.0, entropy_weight=2e-4, sigma=1.5)
    torch.manual_seed(0)
    return MemAE(**(settings | changes))


def test_addressing_is_the_papers_equations():
    torch.manual_seed(0)
    memory, queries = Memory(items=6, width=3, shrink=1.2), torch.randn(4, 3)
    address = memory.address(queries)
    for query, weights, read in zip(queries, address, memory.read(address), strict=True):
        items = memory.items.detach()
        cosine = [float(query @ item / query.norm() / item.norm()) for item in items]  # equation 5
        total = sum(math.exp(value) for value in cosine)
        soft = [math.exp(value) / total for value in cosine]  # equation 4
        limit = 1.2 / 6
        hard = [max(w - limit, 0) * w / (abs(w - limit) + 1e-12) for w in soft]  # equation 7
        wanted = torch.tensor(hard) / sum(hard)
        torch.testing.assert_close(weights, wanted, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(read, sum(w * item for w, item in zip(wanted, items, strict=True)))  # equation 3
        assert 0 < int((weights > 0).sum()) < 6


def test_a_share_of_at_most_one_leaves_every_query_an_address():
    torch.manual_seed(0)
    address = Memory(items=200, width=4, shrink=1.0).address(torch.randn(1000, 4))
    torch.testing.assert_close(address.sum(-1), torch.ones(1000))
    assert ((address > 0).sum(-1) < 200).all()
    assert Memory(items=200, width=4, shrink=9.0).address(torch.randn(10, 4)).abs().sum() == 0  # exp(2) < 9


def test_entropy_of_uniform_and_single_addresses_and_its_gradient():
    assert entropy(torch.full((2, 3, 8), 1 / 8)) == pytest.approx(math.log(8))
    single = torch.eye(4).requires_grad_()
    value = entropy(single)
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-9)
    assert torch.isfinite(single.grad).all()


def test_the_loss_is_error_plus_weighted_entropy():
    image = torch.rand(4, 1, 32, 32)
    light, heavy = make(entropy_weight=0.0).eval(), make(entropy_weight=0.5).eval()
    rebuilt, address = heavy._remember(image)
    torch.testing.assert_close(light.loss(image, None), (rebuilt - image).square().mean())
    torch.testing.assert_close(heavy.loss(image, None) - light.loss(image, None), 0.5 * entropy(address))


def test_defects_are_found_unless_there_is_one_item_for_all():
    normals = stripes(64)
    image, mask = defects(16)
    good, poor = make(), make(items=1, shrink=0.5)
    for method in (good, poor):
        train(method, normals, 80)
    assert auroc(good.anomaly_map(image), mask) > 0.9
    assert auroc(poor.anomaly_map(image), mask) < 0.55
