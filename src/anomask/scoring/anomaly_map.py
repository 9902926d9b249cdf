"""The anomaly map: gated, upsampled probability times restoration residual (method.md section 6)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from anomask.errors import ConfigError

CHOICES = {
    "gate": ("hard", "soft"),
    "upsampling": ("nearest", "bilinear"),
    "map": ("product", "probability", "residual"),
    "residual": ("absolute", "brighter"),
}


def smooth(pixels: Tensor, sigma: float) -> Tensor:
    """Blur [B, 1, S, S] with a Gaussian of `sigma` pixels, edges reflected; sigma 0 returns the input."""
    if sigma <= 0:
        return pixels
    radius = min(max(1, round(3 * sigma)), pixels.shape[-1] - 1)
    place = torch.arange(-radius, radius + 1, device=pixels.device, dtype=pixels.dtype)
    kernel = torch.exp(-0.5 * (place / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(pixels, (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))


class AnomalyMap:
    """Combines the classifier's token probabilities and the restoration residual into one map a slice.

    Args:
        gate: 'hard' sets probabilities below 0.5 to 0 (every unflagged slice then ties at score 0), 'soft' keeps them.
        upsampling: of the token grid to pixels, 'nearest' or 'bilinear'.
        map: 'product', or one factor alone: 'probability', 'residual'.
        residual: 'absolute' is |x - G'(Q)|, 'brighter' is max(x - G'(Q), 0): lung lesions are denser than lung.
        residual_sigma: Gaussian smoothing of the signed residual, in pixels of the model's input; 0 is off.
        residual_limit: the signed residual is clipped to +- this before it is smoothed, so that a bright thin vessel
            counts by its few pixels and not by its height; 1 is off.
        probability_sigma: Gaussian smoothing of the upsampled probability, in pixels; 0 is off (older runs).

    Raises:
        ConfigError: an unknown choice.
    """

    def __init__(
        self,
        gate: str,
        upsampling: str,
        map: str,
        residual: str,
        residual_sigma: float,
        residual_limit: float,
        probability_sigma: float = 0.0,
    ) -> None:
        chosen = {"gate": gate, "upsampling": upsampling, "map": map, "residual": residual}
        for name, value in chosen.items():
            if value not in CHOICES[name]:
                raise ConfigError(f"scoring.{name} is {value!r}; use one of {', '.join(CHOICES[name])}.")
        self.gate, self.upsampling, self.map, self.residual = gate, upsampling, map, residual
        self.residual_sigma, self.residual_limit = residual_sigma, residual_limit
        self.probability_sigma = probability_sigma
        self.full_scale = 1.0 if map == "probability" else 0.25  # full colour in pictures of synthetic anomalies

    def __call__(self, image: Tensor, restoration: Tensor, probability: Tensor) -> Tensor:
        """Return the anomaly map.

        Args:
            image: x, [B, 1, S, S] in [0, 1].
            restoration: G'(Q), [B, 1, S, S] in [0, 1].
            probability: of tokens or pixels, [B, h, w] in [0, 1].

        Returns:
            [B, 1, S, S] in [0, 1]
        """
        if self.map == "residual":
            return self.residual_map(image, restoration)
        certainty = self.probability_map(probability, image.shape[-1])
        return certainty if self.map == "probability" else certainty * self.residual_map(image, restoration)

    def probability_map(self, probability: Tensor, size: int) -> Tensor:
        """Gate, upsample and smooth probabilities [B, h, w] to [B, 1, size, size]."""
        if self.gate == "hard":
            probability = torch.where(probability >= 0.5, probability, 0.0)
        align = {} if self.upsampling == "nearest" else {"align_corners": False}
        pixels = F.interpolate(probability[:, None], (size, size), mode=self.upsampling, **align)
        return smooth(pixels, self.probability_sigma)

    def residual_map(self, image: Tensor, restoration: Tensor) -> Tensor:
        """Return the residual [B, 1, S, S] in [0, 1] of slices and restorations of that shape."""
        limit = self.residual_limit
        signed = smooth((image - restoration).clamp(-limit, limit), self.residual_sigma)
        return signed.abs() if self.residual == "absolute" else signed.clamp(min=0.0)
