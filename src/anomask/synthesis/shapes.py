"""Where painted lesions are: covers in [0, 1] of random shape, as thresholded smooth noise or as round nodules."""

import torch
import torch.nn.functional as F
from torch import Tensor

from anomask.synthesis.draws import SliceDraws


def log_uniform(low: float, high: float, draws: SliceDraws, *shape: int) -> Tensor:
    """Return numbers between `low` and `high`, evenly spread on a log scale: [B, *shape]."""
    return low * (high / low) ** draws.uniform(*shape)


def region_cover(lung: Tensor, scale_px: Tensor, coverage: Tensor, edge: Tensor, draws: SliceDraws) -> Tensor:
    """Return soft-edged regions: where smooth noise is highest in the lung.

    Args:
        lung: [B, 1, S, S] bool.
        scale_px: correlation length of the shapes, [B, 1, 1, 1].
        coverage: share of the lung inside the regions, [B, 1, 1, 1] in (0, 1).
        edge: width of the soft edge in standard deviations of the noise, [B, 1, 1, 1].
        draws: source of the noise.

    Returns:
        [B, 1, S, S] in [0, 1]
    """
    shape = smooth_noise(lung, scale_px, draws)
    # Localised: a random window keeps most shapes from spreading evenly over both lungs.
    shape = shape + 1.5 * smooth_noise(lung, torch.full_like(scale_px, lung.shape[-1] / 3), draws)
    return ((shape - _upper_quantile(shape, lung, coverage)) / edge).clamp(0.0, 1.0)


def nodule_cover(lung: Tensor, most: int, radius_px: tuple[float, float], edge: Tensor, draws: SliceDraws) -> Tensor:
    """Return one to `most` round, uneven nodules with centres in the lung.

    Args:
        lung: [B, 1, S, S] bool.
        most: nodules a slice.
        radius_px: range of radii, drawn evenly on a log scale.
        edge: width of the soft edge in radii, [B, 1, 1, 1].
        draws: source of places, sizes and forms.

    Returns:
        [B, 1, S, S] in [0, 1]
    """
    size, device = lung.shape[-1], lung.device
    # The highest of white noise inside the lung: places drawn evenly, whatever the batch.
    places = draws.uniform(size * size).to(device).masked_fill(~lung.flatten(1), -1.0).topk(most, dim=1).indices
    row, column = (places // size)[..., None, None], (places % size)[..., None, None]  # [B, most, 1, 1]
    radius = log_uniform(*radius_px, draws, most, 1, 1).to(device)
    stretch = log_uniform(0.7, 1.4, draws, most, 1, 1).to(device)
    there = draws.uniform(most, 1, 1).to(device) < 0.5
    there[:, 0] = True
    axis = torch.arange(size, device=device)
    distance = ((axis[:, None] - row) * stretch).square() + ((axis - column) / stretch).square()
    unevenness = 0.3 * smooth_noise(lung, (2 * radius[:, :1]).clamp(min=3.0), draws)  # spicules, lobes
    inside = 1.0 - distance.sqrt() / radius + unevenness
    return (inside.where(there, -1.0).amax(1, keepdim=True) / edge).clamp(0.0, 1.0)


def smooth_noise(like: Tensor, scale_px: Tensor, draws: SliceDraws) -> Tensor:
    """Return unit-variance Gaussian noise of shape [B, 1, S, S] with each image's own correlation length.

    Args:
        like: [B, 1, S, S], gives shape and device.
        scale_px: [B, 1, 1, 1], correlation length in pixels.
        draws: source of the noise.
    """
    size = like.shape[-1]
    frequency = torch.fft.fftfreq(size)[:, None].square() + torch.fft.rfftfreq(size).square()
    white = torch.fft.rfft2(draws.normal(*like.shape[1:])).to(like.device)
    # exp(-2 (pi sigma f)^2) is a Gaussian blur of sigma pixels; a quarter of the length makes blobs of that size.
    blur = torch.exp(-2 * (torch.pi * scale_px / 4).square() * frequency.to(like.device))
    noise = torch.fft.irfft2(white * blur, s=(size, size))
    return noise / noise.std((2, 3), keepdim=True).clamp(min=1e-6)


def smooth_edge(lung: Tensor) -> Tensor:
    """Feather a lung mask [B, 1, S, S] inwards by about two pixels, so that a painted lesion meets the wall softly."""
    return F.avg_pool2d(lung.float(), 3, 1, 1, count_include_pad=False) * lung


def _upper_quantile(values: Tensor, within: Tensor, share: Tensor) -> Tensor:
    # The value that `share` of the pixels inside `within` exceed; images without such pixels get infinity.
    ordered = values.masked_fill(~within, -torch.inf).flatten(1).sort(dim=1, descending=True).values
    index = (within.flatten(1).sum(1) * share.flatten()).long().clamp(max=ordered.shape[1] - 1)
    level = ordered.gather(1, index[:, None])
    return level.masked_fill(level == -torch.inf, torch.inf).view(-1, 1, 1, 1)
