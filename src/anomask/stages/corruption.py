"""Training examples of stage 2: tokens corrupted in feature space, and slices corrupted in image space."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from anomask.batches import FrozenFeatures, SliceBatch
from anomask.models.tokens import patch_mean
from anomask.models.vqvae import VQVAE
from anomask.synthesis.draws import SliceDraws
from anomask.synthesis.opacity import OpacityPainter
from anomask.synthesis.synthesiser import Synthesiser


class Corrupted(NamedTuple):
    """A batch with synthetic anomalies."""

    quantised: Tensor  # [B, N, C]
    latent: Tensor  # [B, N, C] before quantisation
    mask: Tensor  # [B, N] bool, corrupted tokens
    observed: Tensor  # [B, 1, S, S] the slice as a scanner would show it; equals the clean one in feature space
    pixel_mask: Tensor  # [B, 1, S, S] bool, the corruption's pixels
    painted: Tensor  # [B] bool, corrupted in image space


class Corrupter:
    """Makes synthetic anomalies: codes are replaced, or an opacity is painted and encoded.

    Args:
        vqvae: the frozen codebook.
        synthesiser: feature-space corruption (the paper's).
        painter: image-space corruption of a share of the images, or None.
        token_share: a token is anomalous if at least this share of its patch was painted.
        bound_by_lung: whether only tokens with lung in them may be corrupted in feature space.
    """

    def __init__(
        self,
        vqvae: VQVAE,
        synthesiser: Synthesiser,
        painter: OpacityPainter | None,
        token_share: float,
        bound_by_lung: bool,
    ) -> None:
        self.vqvae, self.synthesiser, self.painter = vqvae, synthesiser, painter
        self.token_share, self.bound_by_lung = token_share, bound_by_lung

    @torch.no_grad()
    def __call__(
        self, batch: SliceBatch, features: Callable[[SliceBatch], FrozenFeatures], draws: SliceDraws
    ) -> Corrupted:
        """Corrupt every slice of the batch in one way or the other.

        Args:
            batch: normal slices.
            features: their frozen features; asked only for slices that are not painted.
            draws: source of every draw.
        """
        if self.painter is None:
            return self._replace(batch, features(batch), draws)
        painted = self.painter(batch.image, batch.lung_mask, draws)
        chosen, parts = painted.chosen, []
        if bool(chosen.any()):
            parts.append((chosen, self._encode(painted.image[chosen], painted.mask[chosen])))
        if not bool(chosen.all()):
            rest = SliceBatch(*(part[~chosen] for part in batch))
            parts.append((~chosen, self._replace(rest, features(rest), draws.of(~chosen))))
        order = torch.cat([rows.nonzero().squeeze(1) for rows, _ in parts]).argsort()
        return Corrupted(*(torch.cat(same)[order] for same in zip(*(part for _, part in parts), strict=True)))

    def _replace(self, batch: SliceBatch, features: FrozenFeatures, draws: SliceDraws) -> Corrupted:
        stride = self.vqvae.stride
        allowed = patch_mean(batch.lung_mask, stride) >= 0.5
        if not self.bound_by_lung:
            allowed = torch.ones_like(allowed)
        tokens, mask = self.synthesiser(features, self.vqvae.quantiser.codebook, allowed, draws)
        # Before quantisation a corrupted token keeps its own quantisation error around the new code.
        latent = features.tokens + (tokens - features.quantised)
        pixels = mask.view(-1, 1, batch.image.shape[2] // stride, batch.image.shape[3] // stride)
        pixels = pixels.repeat_interleave(stride, 2).repeat_interleave(stride, 3)
        painted = torch.zeros(len(pixels), dtype=torch.bool, device=pixels.device)
        return Corrupted(tokens, latent, mask, batch.image, pixels, painted)

    def _encode(self, image: Tensor, mask: Tensor) -> Corrupted:
        latent = self.vqvae.encode(image).float()
        quantised = self.vqvae.quantiser(latent).tokens
        covered = patch_mean(mask, self.vqvae.stride) >= self.token_share
        painted = torch.ones(len(mask), dtype=torch.bool, device=mask.device)
        return Corrupted(quantised, latent, covered, image, mask, painted)
