"""SimpleNet's loss by hand, and that learning it finds a defect."""

import pytest
import torch

from anomask.baselines.simplenet import SimpleNet
from tests.baselines.features_toys import learn, pixel_auroc, textures, tiny_features


def method_of(noise=0.5):
    torch.manual_seed(0)
    method = SimpleNet(tiny_features([8, 16]), hidden=256, noise=noise, margin=0.5, sigma=4.0)
    method.freeze()
    return method


def test_loss_of_a_blind_discriminator_is_twice_the_margin():
    method = method_of().eval()
    torch.nn.init.zeros_(method.discriminator[-1].weight)
    assert float(method.loss(textures(2, 0)[0], torch.Generator().manual_seed(0))) == pytest.approx(1.0)


def test_loss_against_a_plain_sum():
    method = method_of().eval()
    image = textures(2, 0)[0]
    normal = method.adapted(image)
    noise = torch.randn(normal.shape, generator=torch.Generator().manual_seed(3))
    pairs = zip(method.discriminator(normal), method.discriminator(normal + 0.5 * noise), strict=True)
    expected = sum(max(0.0, 0.5 - float(clean)) + max(0.0, 0.5 + float(noisy)) for clean, noisy in pairs) / len(normal)
    assert float(method.loss(image, torch.Generator().manual_seed(3))) == pytest.approx(expected, rel=1e-4)


def test_without_noise_nothing_can_be_told_apart():
    assert learn(method_of(noise=0.0), steps=10, lr=5e-4)[-1] > 0.9


def test_a_defect_is_found_and_its_place_without_it_is_not():
    method = method_of()
    losses = learn(method, steps=60, lr=5e-4)
    assert losses[-1] < 0.8 * losses[0]
    image, mask = textures(16, 99, defect=True)
    assert pixel_auroc(method.anomaly_map(image), mask) > 0.9
    clean = textures(16, 99)[0]  # the control: without the defects only their place, never at the edge, is left
    assert pixel_auroc(method.anomaly_map(clean), mask) < 0.8


def test_only_the_frozen_part_stays_as_it_is():
    method = method_of()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    learn(method, steps=2, lr=1e-3)
    moved = {name.split(".")[0] for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"standardise", "adaptor", "discriminator"}
