"""Maps and masks as colours, on one fixed scale, so that a normal slice does not look red."""

import torch
from torch import Tensor

# Black, violet, red, orange, pale yellow: dark to light, so that it also reads in grey.
_STOPS = torch.tensor([[0.0, 0.0, 0.0], [0.34, 0.06, 0.43], [0.73, 0.21, 0.33], [0.98, 0.56, 0.04], [0.99, 1.0, 0.64]])


def heat(values: Tensor) -> Tensor:
    """Colour values [H, W] in [0, 1] (clipped): RGB [3, H, W] in [0, 1]."""
    place = values.clamp(0.0, 1.0).cpu() * (len(_STOPS) - 1)
    low = place.floor().long().clamp(max=len(_STOPS) - 2)
    colour = torch.lerp(_STOPS[low], _STOPS[low + 1], (place - low)[..., None])
    return colour.permute(2, 0, 1)


def grey(image: Tensor) -> Tensor:
    """Turn a slice [H, W] in [0, 1] into RGB [3, H, W]."""
    return image.clamp(0.0, 1.0).cpu().expand(3, -1, -1)


def overlay(image: Tensor, anomaly_map: Tensor, scale: float) -> Tensor:
    """Lay a map over a slice.

    Args:
        image: [H, W] in [0, 1].
        anomaly_map: [H, W] >= 0.
        scale: map value at which the colour is full; the same for all pictures that are to be compared.

    Returns:
        RGB [3, H, W] in [0, 1]
    """
    level = (anomaly_map.cpu() / max(scale, 1e-12)).clamp(0.0, 1.0)
    return torch.lerp(grey(image), heat(level), level.sqrt() * 0.8)


def outline(mask: Tensor) -> Tensor:
    """Return the inner border of a mask [H, W] bool: [H, W] bool."""
    padded = torch.nn.functional.pad(mask[None, None].float(), (1, 1, 1, 1), mode="replicate")
    return mask & (-torch.nn.functional.max_pool2d(-padded, 3, 1)[0, 0] < 0.5)


def paint(picture: Tensor, where: Tensor, colour: tuple[float, float, float]) -> Tensor:
    """Colour the pixels of an RGB picture [3, H, W] where the mask [H, W] bool is true."""
    return torch.where(where.cpu(), torch.tensor(colour).view(3, 1, 1), picture)
