"""DSR: anomalies are made of a codebook's own codes, and found in the difference of two decoders."""

import copy

import torch
import torch.nn.functional as F
from monai.networks.nets import AutoEncoder
from torch import Tensor

from anomask.baselines.method import Baseline
from anomask.baselines.perlin import PerlinMasks
from anomask.baselines.segmenter import Segmenter
from anomask.errors import ConfigError
from anomask.models.tokens import to_grid, to_tokens
from anomask.models.vqvae import VQVAE
from anomask.synthesis.replacement import candidates


class DSR(Baseline):
    """Dual subspace re-projection: a network brings tokens back to normal ones, a U-Net compares both decodings.

    As published: code draws, masks on half of the slices, losses and their weights, what is detached from what, mask
    labels at the resolution of tokens. Different: one level of tokens, not two; the frozen codebook and its decoder G,
    the 'general object decoder', have seen normal slices and not ImageNet; the object-specific decoder starts as a copy
    of G and has no bottleneck of its own; narrower networks, MONAI's, with half as many convolutions in the subspace
    restriction; no upsampling module; no rotated slices unless `augment` has them; the mean filter smooths the map as
    well, where the paper uses it for the slice score alone.

    Args:
        vqvae: stage 1's model, frozen.
        masks: where anomalies go.
        strength: smallest and largest lambda_s; a token draws among that share of the codes, nearest first.
        rank_min: the nearest share of the codes is never drawn.
        channels: of the subspace restriction, on the token grid and after each halving.
        image_weight: of the restored slice's squared error beside the tokens'.
        segmenter: the anomaly detection network.

    Raises:
        ConfigError: the token grid cannot be halved as often as `channels` asks for.
    """

    title = "DSR"
    family = "synthesis"
    source = "Zavrtanik et al., ECCV 2022"
    frozen = ("vqvae",)

    def __init__(
        self,
        vqvae: VQVAE,
        masks: PerlinMasks,
        strength: tuple[float, float],
        rank_min: float,
        channels: list[int],
        image_weight: float,
        segmenter: Segmenter,
    ) -> None:
        super().__init__()
        side, halvings = vqvae.size // vqvae.stride, len(channels) - 1
        if side % 2**halvings or side < 2 ** (halvings + 1):
            raise ConfigError(
                f"baseline.channels has {halvings} halvings, and the token grid is {side} x {side} (data.size, "
                "model.encoder); after the halvings 2 x 2 or more are wanted. Use fewer channels or a larger data.size."
            )
        self.vqvae, self.masks = vqvae, masks
        self.strength, self.rank_min, self.image_weight = strength, rank_min, image_weight
        width = vqvae.quantiser.width
        self.restriction = AutoEncoder(2, width, width, channels, [1] + [2] * halvings, act="relu", norm="instance")
        self.decoder = copy.deepcopy(vqvae.decoder)
        self.segmenter = segmenter

    @torch.no_grad()
    def corrupt(self, latent: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Give masked tokens another code of their window; with residual levels the finer ones stay.

        Args:
            latent: [B, N, C], tokens before quantisation.
            mask: [B, N] bool.
            generator: source of the draws.

        Returns:
            corrupted tokens and quantised tokens, both [B, N, C].
        """
        quantised = self.vqvae.quantiser(latent)
        codebook, codes = self.vqvae.quantiser.codebook, quantised.codes[..., 0]
        # Candidates are sorted by distance, so each slice's lambda_s is the number of columns it may draw from.
        near = candidates(latent[mask], codes[mask], codebook, None, self.rank_min, 1.0)
        low, high = self.strength
        strength = low + (high - low) * torch.rand(len(mask), 1, generator=generator)
        last = (strength * len(codebook)).floor() - round(self.rank_min * len(codebook))
        window = last.clamp(min=1, max=near.shape[1]).expand(mask.shape).to(mask.device)[mask]
        drawn = (torch.rand(len(near), generator=generator).to(mask.device) * window).long()
        new = near.gather(1, drawn[:, None]).squeeze(1)
        tokens = quantised.tokens.clone()
        tokens[mask] += codebook[new] - codebook[codes[mask]]
        return tokens, quantised.tokens

    def restore(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Bring tokens [B, N, C] back to normal ones and decode them.

        Returns:
            tokens before they are quantised again, [B, N, C], and the object-specific slice [B, 1, S, S].
        """
        normal = to_tokens(self.restriction(to_grid(tokens)))
        straight = normal + (self.vqvae.quantiser(normal).tokens - normal).detach()
        return normal, self.decoder(to_grid(straight))

    def loss(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return the loss of restoring tokens and slices and of finding the corrupted tokens."""
        stride = self.vqvae.stride
        mask = F.max_pool2d(self.masks(image, generator).float(), stride)  # [B, 1, h, w]
        with torch.no_grad():
            tokens, quantised = self.corrupt(self.vqvae.encode(image), mask.flatten(1).bool(), generator)
            general = self.vqvae.decode(tokens)
        normal, restored = self.restore(tokens)
        restoring = F.mse_loss(normal, quantised) + self.image_weight * F.mse_loss(restored, image)
        labels = F.interpolate(mask, scale_factor=stride)
        return restoring + self.segmenter.loss(restored.detach(), general, labels)

    @torch.no_grad()
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the smoothed probability of being anomalous."""
        tokens = self.vqvae.quantiser(self.vqvae.encode(image)).tokens
        return self.segmenter.anomaly_map(self.restore(tokens)[1], self.vqvae.decode(tokens))
