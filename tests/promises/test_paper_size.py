"""The paper's size, and 64 and 256 px, run a few steps of both stages."""

import pytest
import torch

from anomask.batches import SliceBatch
from anomask.build import build_stage
from anomask.data.loading.frame import WHOLE
from tests.conftest import settings_of


def batch_of(size, count=2):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(count, 1, size, size, generator=generator)
    lung = torch.ones_like(image, dtype=torch.bool)
    known = torch.ones(count, dtype=torch.bool)
    return SliceBatch(image, torch.arange(count), ~lung, lung, known, known, torch.tensor([WHOLE] * count))


def two_steps(stage, module, batch):
    optimiser = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=1e-4)
    stage.log_dict = lambda *_, **__: None
    losses = []
    for step in range(2):
        loss = stage.training_step(batch, step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert all(torch.isfinite(torch.tensor(losses)))


CASES = [("small", 64), ("small", 256), pytest.param("paper", 128, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("model", "size"), CASES)
def test_both_stages_take_two_steps(model, size, monkeypatch):
    monkeypatch.setattr("pytorch_lightning.LightningModule.global_step", 0)
    monkeypatch.setattr("pytorch_lightning.LightningModule.global_rank", 0)
    common = [f"model={model}", f"data.size={size}", "run=unused"]
    first = build_stage(settings_of("stage=codebook", *common))
    two_steps(first, first.vqvae, batch_of(size))
    second = build_stage(settings_of("stage=detector", *common))
    second.detector.vqvae.load_state_dict(first.vqvae.state_dict())
    two_steps(second, second.detector, batch_of(size))
    assert second.eval().detect(batch_of(size, 1)).anomaly_map.shape == (1, 1, size, size)
