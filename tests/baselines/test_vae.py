"""The variational auto-encoder against the closed forms of its loss and on toy lesions."""

import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl

from anomask.baselines.vae import VAE, kl_divergence
from tests.baselines.toy import auroc, defects, stripes, train


def make(**changes):
    settings = dict(size=32, channels=[8, 16], bottleneck=4, latent=8, kl_weight=1e-3, sigma=1.5)
    torch.manual_seed(0)
    return VAE(**(settings | changes))


def test_divergence_is_the_one_of_torch_and_zero_for_the_prior():
    mean, log_variance = torch.randn(5, 7), torch.randn(5, 7)
    theirs = torch_kl(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(kl_divergence(mean, log_variance), theirs)
    assert kl_divergence(torch.zeros(3, 4), torch.zeros(3, 4)) == 0


def test_the_loss_draws_from_the_generator_alone_and_weighs_the_divergence_per_pixel():
    image = torch.rand(4, 1, 32, 32)
    light, heavy = make(kl_weight=0.0).eval(), make(kl_weight=2.0).eval()
    losses = []
    for method in (light, heavy, light):
        torch.manual_seed(len(losses))  # the global state must not matter
        losses.append(method.loss(image, torch.Generator().manual_seed(5)))
    divergence = kl_divergence(*heavy.network.encode_forward(image))
    assert losses[0] == losses[2] != light.loss(image, torch.Generator().manual_seed(6))
    torch.testing.assert_close(losses[1] - losses[0], 2.0 * divergence / 32**2)


def test_defects_are_found_unless_the_code_collapses():
    normals = stripes(64)
    image, mask = defects(16)
    good, collapsed = make(), make(kl_weight=1e4)
    for method in (good, collapsed):
        train(method, normals, 80)
    assert auroc(good.anomaly_map(image), mask) > 0.9
    assert auroc(collapsed.anomaly_map(image), mask) < 0.55
    with torch.no_grad():  # without information in its code the network rebuilds one slice for all
        spread = [float(method.reconstruct(image).std(0).mean()) for method in (good, collapsed)]
    assert spread[1] < 0.1 * spread[0]
