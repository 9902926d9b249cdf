"""Textured toy slices with and without a defect, and the small feature extractor of these tests."""

import torch
import torch.nn.functional as F

from anomask.baselines.features import ImageNetFeatures


def tiny_features(strides=(4, 8, 16), side=64):
    return ImageNetFeatures("efficientnet-lite0", None, list(strides), side).eval()


def textures(count, seed, size=32, defect=False):
    """Smoothed noise; a defect is a disc of stripes somewhere. Returns slices and masks [B, 1, S, S]."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 1, size, size, generator=generator)
    image = 0.5 + 0.3 * F.avg_pool2d(noise, 3, stride=1, padding=1)
    centres = 8 + 16 * torch.rand(count, 2, 1, 1, generator=generator)
    place = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"))
    mask = ((place - centres).square().sum(1, keepdim=True) < 25) & defect
    stripes = (place.sum(0) // 2 % 2).float()
    return torch.where(mask, stripes, image).clamp(0, 1), mask


def pixel_auroc(anomaly_map, mask):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(mask.flatten().numpy(), anomaly_map.flatten().numpy())


def learn(method, steps, lr):
    """Take plain gradient steps on textures, as the stage would."""
    method.freeze()
    optimiser = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=lr)
    generator = torch.Generator().manual_seed(0)
    losses = []
    method.train()
    for step in range(steps):
        loss = method.loss(textures(8, step)[0], generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    method.eval()
    return losses
