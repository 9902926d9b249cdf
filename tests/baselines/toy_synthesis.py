"""Toy slices on which a synthesis-based method must localise: a smooth anatomy with texture; a defect and a control."""

import torch
from monai.metrics import compute_roc_auc

SIZE = 32


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normals(count, generator):
    """Return slices [count, 1, 32, 32]: stripes of one period at a jittered phase, and fine noise."""
    place = torch.arange(SIZE)
    phase = 0.6 * torch.rand(count, 1, 1, generator=generator)
    stripes = 0.5 + 0.25 * torch.sin(place[:, None] * (2 * torch.pi / 8) + phase) * torch.ones(SIZE)
    return (stripes + 0.03 * torch.randn(count, SIZE, SIZE, generator=generator)).clamp(0, 1)[:, None]


def discs(count, generator):
    """Return masks [count, 1, 32, 32] bool: one disc of 5 px radius each, inside the slice."""
    place = torch.arange(SIZE)
    centre = torch.randint(8, SIZE - 8, (2, count, 1, 1), generator=generator)
    return ((place[:, None] - centre[0]) ** 2 + (place - centre[1]) ** 2 < 25)[:, None]


def with_defects(image, masks):
    """Replace the stripes by a flat bright patch."""
    return torch.where(masks, 0.95, image)


def train(method, steps, lr=3e-3, seed=0):
    """Take steps of the method's own loss on batches of 8 fresh normals."""
    method.freeze()
    method.train()
    torch.manual_seed(seed)
    optimiser = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr)
    generator = seeded(seed)
    for _ in range(steps):
        optimiser.zero_grad()
        method.loss(normals(8, generator), generator).backward()
        optimiser.step()
    return method.eval()


def pixel_auroc(method, image, masks):
    """Return the AUROC of the map's pixels against masks."""
    return compute_roc_auc(method.anomaly_map(image).flatten(), masks.flatten().float())
