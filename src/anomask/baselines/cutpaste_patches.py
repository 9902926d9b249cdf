"""CutPaste's anomalies: a rectangle of a slice, jittered, and pasted elsewhere in the same slice."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Range = tuple[float, float]


def paste(image: Tensor, sides: Tensor, source: Tensor, target: Tensor, angle: Tensor, jitter: Tensor) -> Tensor:
    """Cut one rectangle out of each slice and paste it into the same slice.

    Args:
        image: [B, 1, S, S] in [0, 1].
        sides: [B, 2], height and width of the rectangle in pixels.
        source: [B, 2], row and column of its centre where it is cut, in pixels; pixel 0 reaches from 0 to 1.
        target: [B, 2], the same where it is pasted.
        angle: [B], rotation of the pasted rectangle, in rad.
        jitter: [B, 2], factors of brightness and of contrast about the rectangle's mean.

    Returns:
        [B, 1, S, S] in [0, 1]; pixels whose centres lie outside the pasted rectangle are untouched.
    """
    size = image.shape[-1]
    place = torch.arange(size, device=image.device) + 0.5
    down = place[:, None] - target[:, 0].view(-1, 1, 1)  # [B, S, 1]
    across = place - target[:, 1].view(-1, 1, 1)  # [B, 1, S]
    sine, cosine = angle.sin().view(-1, 1, 1), angle.cos().view(-1, 1, 1)
    own = torch.stack([cosine * down + sine * across, cosine * across - sine * down], dim=3)  # [B, S, S, 2]
    inside = (own.abs() < sides.view(-1, 1, 1, 2) / 2).all(3)[:, None]
    grid = (own + source.view(-1, 1, 1, 2)) * 2 / size - 1
    cut = F.grid_sample(image, grid.flip(3), padding_mode="border", align_corners=False)
    brightness, contrast = jitter.view(-1, 2, 1, 1, 1).unbind(1)
    cut = cut * brightness
    mean = (cut * inside).sum((2, 3), keepdim=True) / inside.sum((2, 3), keepdim=True).clamp(min=1)
    return torch.where(inside, (mean + contrast * (cut - mean)).clamp(0.0, 1.0), image)


class Rectangles:
    """CutPaste: rectangles of a random area and shape on whole pixels, not rotated.

    Args:
        area: smallest and largest share of the image.
        aspect: smallest and largest ratio of the shorter side to the longer one; half of the rectangles stand upright.
        jitter: largest relative change of brightness and of contrast.
    """

    def __init__(self, area: Range, aspect: Range, jitter: float) -> None:
        self.area, self.aspect, self.jitter = area, aspect, jitter

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return images [B, 1, S, S] with one rectangle pasted into each."""
        batch, size = len(image), image.shape[-1]
        area = _uniform(self.area, (batch,), generator) * size**2
        ratio = _uniform(self.aspect, (batch,), generator)
        ratio = torch.where(torch.rand(batch, generator=generator) < 0.5, ratio, 1 / ratio)
        sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).round().clamp(1, size - 1)
        source, target = (
            (torch.rand(batch, 2, generator=generator) * (size - sides + 1)).floor() + sides / 2 for _ in range(2)
        )
        jitter = _uniform((1 - self.jitter, 1 + self.jitter), (batch, 2), generator)
        drawn = (sides, source, target, torch.zeros(batch), jitter)
        return paste(image, *(values.to(image.device) for values in drawn))


class Scars:
    """CutPaste-scar: long thin rectangles, rotated.

    Args:
        width_px: smallest and largest width, in pixels of a 256 px slice.
        length_px: smallest and largest length, likewise.
        rotation: largest rotation either way, in degrees.
        jitter: largest relative change of brightness and of contrast.
        size: side of the whole slice, which lengths are scaled to.
    """

    def __init__(self, width_px: Range, length_px: Range, rotation: float, jitter: float, size: int) -> None:
        self.width_px, self.length_px = ([end * size / 256 for end in ends] for ends in (width_px, length_px))
        self.rotation, self.jitter = math.radians(rotation), jitter

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return images [B, 1, S, S] with one scar pasted into each."""
        batch, size = len(image), image.shape[-1]
        lengths = [_uniform(ends, (batch,), generator) for ends in (self.length_px, self.width_px)]
        sides = torch.stack(lengths, dim=1).clamp(1, size)  # a scar under a pixel would miss the pixels' centres
        angle = _uniform((-self.rotation, self.rotation), (batch,), generator)
        sine, cosine = angle.sin().abs()[:, None], angle.cos()[:, None]
        turned = (cosine * sides + sine * sides.flip(1)).clamp(max=size)  # the rotated rectangle's bounding box
        source = torch.rand(batch, 2, generator=generator) * (size - sides) + sides / 2
        target = torch.rand(batch, 2, generator=generator) * (size - turned) + turned / 2
        jitter = _uniform((1 - self.jitter, 1 + self.jitter), (batch, 2), generator)
        return paste(image, *(values.to(image.device) for values in (sides, source, target, angle, jitter)))


def _uniform(ends: Range, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    low, high = ends
    return low + (high - low) * torch.rand(shape, generator=generator)
