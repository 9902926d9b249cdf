"""VQ-VAE with a token prior: codes that normal slices make unlikely are replaced by likely ones and decoded."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from anomask.baselines.method import Baseline
from anomask.baselines.token_transformer import TokenTransformer
from anomask.errors import ConfigError
from anomask.models.vqvae import VQVAE
from anomask.scoring.anomaly_map import smooth


class TokenPrior(Baseline):
    """Latent restoration with an autoregressive prior over the codes of a trained codebook run.

    As in the authors' code: in raster order, a code whose negative log-likelihood exceeds lambda, given what is
    restored before it, is drawn anew from the prior; several restorations of a slice are weighted by
    softmax(k / mean |x - x_i|). Differences: a small transformer instead of PixelSNAIL and no slice position as a
    condition; lambda is a quantile of the training normals instead of a fixed number, which would depend on the size of
    the codebook; the residual is smoothed with a Gaussian like that of the other methods, and the slice score is
    theirs.

    Args:
        vqvae: stage 1's model, one residual level.
        depth: transformer blocks of the prior.
        heads: its attention heads.
        head_width: width of a head.
        dropout: of the prior's embeddings.
        quantile: share of the training normals' codes that lambda leaves as they are, in (0, 1).
        restorations: R, restorations a slice.
        sharpness: k.
        sigma: Gaussian smoothing of the signed residuals, in pixels.
        seed: of the restorations' draws, which are the same for every slice.

    Raises:
        ConfigError: the codebook has several residual levels, or the quantile is not inside (0, 1).
    """

    title = "VQ-VAE + token prior"
    family = "reconstruction"
    source = "Marimont and Tarroni, ISBI 2021"
    frozen = ("vqvae",)

    def __init__(
        self,
        vqvae: VQVAE,
        depth: int,
        heads: int,
        head_width: int,
        dropout: float,
        quantile: float,
        restorations: int,
        sharpness: float,
        sigma: float,
        seed: int,
    ) -> None:
        super().__init__()
        if vqvae.quantiser.depth != 1:
            raise ConfigError(
                f"the token prior needs one code a token, the codebook has {vqvae.quantiser.depth} residual levels "
                "(model.quantiser.depth). Train a codebook with model.quantiser.depth=1."
            )
        if not 0.0 < quantile < 1.0:
            raise ConfigError(f"baseline.quantile is {quantile}; a share between 0 and 1 is wanted, such as 0.98.")
        n_tokens = (vqvae.size // vqvae.stride) ** 2
        self.vqvae = vqvae
        self.prior = TokenTransformer(vqvae.quantiser.n_codes, n_tokens, depth, heads, head_width, dropout)
        self.quantile, self.sharpness, self.sigma = quantile, sharpness, sigma
        draws = torch.rand((restorations, n_tokens), generator=torch.Generator().manual_seed(seed))
        self.register_buffer("draws", draws)
        self.register_buffer("limit", torch.tensor(math.inf))  # lambda; until `fit` every code is likely

    def loss(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return the prior's mean negative log-likelihood of a code, in nats."""
        return self.prior.surprise(self._codes(image)).mean()

    def fit(self, normals: Iterable[Tensor]) -> None:
        """Fix lambda on the codes of the training normals."""
        surprise = torch.cat([self.prior.surprise(self._codes(image)).flatten() for image in normals])
        self.limit.copy_(surprise.kthvalue(math.ceil(self.quantile * len(surprise))).values)

    @torch.no_grad()
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the weighted mean of the restorations' smoothed absolute residuals."""
        restored = self.restore(image)  # [B, R, S, S]
        distance = (image - restored).abs().mean((2, 3), keepdim=True).clamp(min=1e-6)
        weight = (self.sharpness / distance).softmax(1)
        residual = smooth((image - restored).flatten(0, 1)[:, None], self.sigma).view_as(restored)
        return (weight * residual.abs()).sum(1, keepdim=True)

    @torch.no_grad()
    def restore(self, image: Tensor) -> Tensor:
        """Return the restorations [B, R, S, S] of slices [B, 1, S, S]."""
        restored = self.prior.restore(self._codes(image), self.limit, self.draws)  # [B, R, N]
        tokens = self.vqvae.quantiser.lookup(restored.flatten(0, 1)[..., None])
        return self.vqvae.decode(tokens).view(len(image), len(self.draws), *image.shape[2:])

    @torch.no_grad()
    def _codes(self, image: Tensor) -> Tensor:
        return self.vqvae.quantiser(self.vqvae.encode(image)).codes[..., 0]
