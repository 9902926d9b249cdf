"""The control: the network that was measured, learning from painted slices inside their lungs."""

import pytest
import torch
from hydra.utils import instantiate
from torch.utils.flop_counter import FlopCounterMode

from anomask.baselines.method import Baseline
from anomask.batches import SliceBatch
from anomask.data.loading.frame import WHOLE
from tests.conftest import settings_of


def method(name="painted_unet", *changes):
    torch.manual_seed(0)
    return instantiate(settings_of(f"experiment=baseline_{name}", *changes)["baseline"], _convert_="all")


def batch_of(image):
    count, lung = len(image), torch.zeros_like(image, dtype=torch.bool)
    lung[..., 8:24, 8:24] = True
    known = torch.zeros(count, dtype=torch.bool)
    return SliceBatch(image, torch.arange(count), ~(lung | True), lung, known, known, torch.tensor([WHOLE] * count))


def multiply_adds(network):
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network.eval()(torch.rand(1, 1, 128, 128))
    return counter.get_total_flops() / 2e9


def test_the_control_is_the_network_that_was_measured_and_the_small_one_a_third_of_it():
    large, small = method().network, method("painted_unet_small").network
    assert sum(p.numel() for p in large.parameters()) == pytest.approx(1.19e6, rel=0.01)
    assert multiply_adds(large) == pytest.approx(0.74, abs=0.01)
    assert multiply_adds(small) == pytest.approx(0.74 / 3, rel=0.1)


def test_painter_loss_smoothing_and_looks_are_the_detectors():
    baseline, detector = settings_of("experiment=baseline_painted_unet"), settings_of("experiment=detector")
    assert baseline["baseline"]["painter"] == detector["synthesiser"]["painter"]
    assert baseline["baseline"]["pixel_loss"] == detector["loss"]["pixel"]
    assert baseline["baseline"]["looks"]["crops"] == detector["scoring"]["crops"]
    assert baseline["stage"]["optimisation"] == detector["stage"]["optimisation"]
    assert baseline["data"]["augment"] == detector["data"]["augment"] and baseline["data"]["crop"] == "none"
    assert baseline["trainer"]["max_steps"] == detector["trainer"]["max_steps"] == 1000


def test_it_learns_from_the_batch_with_its_lungs_and_other_methods_from_the_slices():
    control, batch = method(), batch_of(torch.full((8, 1, 32, 32), 0.3))
    assert control.learns
    painted = {}
    own = control.painter

    def watched(image, lung, draws):
        painted["found"] = own(image, lung, draws)
        return painted["found"]

    control.painter = watched
    first = control.training_loss(batch, torch.Generator().manual_seed(1))
    assert bool(painted["found"].mask.any()) and not bool((painted["found"].mask & ~batch.lung_mask).any())
    assert torch.equal(first, control.training_loss(batch, torch.Generator().manual_seed(1)))

    class Plain(Baseline):
        def loss(self, image, generator):
            return image.sum()

    assert Plain().learns and torch.equal(Plain().training_loss(batch, None), batch.image.sum())
    assert not Baseline().learns


@pytest.mark.slow
def test_a_bright_spot_in_the_lung_is_found():
    control = method("painted_unet_small", "scoring.crops=null")
    control.train()
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(control.parameters(), 1e-3)
    for _ in range(160):
        batch = batch_of(0.3 + 0.05 * torch.randn(8, 1, 32, 32, generator=generator))
        optimiser.zero_grad()
        control.training_loss(batch, generator).backward()
        optimiser.step()
    image = 0.3 + 0.05 * torch.randn(4, 1, 32, 32, generator=generator)
    spot = torch.zeros(32, 32, dtype=torch.bool)
    spot[12:18, 12:18] = True
    found = control.eval().anomaly_map(torch.where(spot, 0.7, image))
    assert float(found[..., spot].mean()) > 3 * float(found[..., ~spot].mean())
