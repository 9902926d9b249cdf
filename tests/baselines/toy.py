"""Toy slices for the reconstruction methods: stripes of any phase are normal, a disc of inverted ones is a defect."""

import math

import torch
from sklearn.metrics import roc_auc_score


def stripes(number, size=32, seed=0):
    """Return normals [number, 1, size, size]: diagonal stripes of random phase with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    phase = 2 * math.pi * torch.rand(number, 1, 1, 1, generator=generator)
    noise = 0.03 * torch.randn(number, 1, size, size, generator=generator)
    return (0.4 + 0.2 * torch.sin(2 * math.pi * (rows + columns) / 16 + phase) + noise).clamp(0, 1)


def defects(number, size=32, seed=1):
    """Return slices [number, 1, size, size] with a disc of inverted stripes, as bright as the rest, and the discs."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    row, column = (6 + (size - 12) * torch.rand(2, number, 1, 1, 1, generator=generator)).unbind()
    mask = (rows - row) ** 2 + (columns - column) ** 2 < 4**2
    normal = stripes(number, size, seed)
    return torch.where(mask, 0.8 - normal, normal), mask


def auroc(anomaly_map, mask):
    """Return the pixel AUROC."""
    return roc_auc_score(mask.flatten(), anomaly_map.flatten())


def train(method, normals, steps, batch=16, rate=5e-3):
    """Take gradient steps on normals [n, 1, S, S], then fit; the method is left in eval mode."""
    method.freeze()
    method.train()
    optimiser = torch.optim.Adam([value for value in method.parameters() if value.requires_grad], rate)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(0, len(normals), (batch,), generator=generator)
        loss = method.loss(normals[chosen], generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    method.eval()
    with torch.no_grad():
        method.fit(normals.split(batch))
