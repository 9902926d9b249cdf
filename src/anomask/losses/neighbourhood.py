"""Stage 2's loss: restoration, and classification weighted by the residual neighbourhood (method.md section 5)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from anomask.errors import ConfigError

WEIGHTS = ("off", "var", "var_mean")


class DetectorLosses(NamedTuple):
    """Stage 2's loss and its parts, each a scalar."""

    total: Tensor
    restoration: Tensor
    normal: Tensor
    anomalous: Tensor


def window_statistics(residual: Tensor, stride: int, signed: bool = False) -> tuple[Tensor, Tensor]:
    """Return variance and absolute (or signed) mean of each token's window of the halved residual.

    Args:
        residual: rho = restoration - slice, [B, 1, S, S], signed.
        stride: s, an even number: a token's window is (s / 2)^2 values of the residual averaged by 2.
        signed: whether the mean keeps its sign.

    Returns:
        v and m, each [B, N]; >= 0 unless signed
    """
    halved = F.avg_pool2d(residual, 2)
    windows = F.unfold(halved, stride // 2, stride=stride // 2)  # [B, (s / 2)^2, N]
    mean = windows.mean(1)
    return windows.var(1, correction=0), mean if signed else mean.abs()


def neighbourhood_weights(residual: Tensor, mask: Tensor, stride: int, weight: str) -> Tensor:
    """Return w: how much each corrupted token's loss counts; small where the restorer recovered it.

    Args:
        residual: [B, 1, S, S], restoration - slice.
        mask: [B, N] bool, corrupted tokens.
        stride: s.
        weight: 'off' (all ones), 'var' (variance alone) or 'var_mean' (the paper's).

    Returns:
        [B, N] in [0, 1], detached; 1 at the largest of each image's corrupted tokens.
    """
    if weight == "off":
        return torch.ones_like(mask, dtype=residual.dtype)
    variance, mean = window_statistics(residual.detach().float(), stride)
    tiny = torch.finfo(variance.dtype).tiny
    raw = variance / variance.norm(dim=1, keepdim=True).clamp(min=tiny)
    if weight == "var_mean":
        raw = raw + mean / mean.norm(dim=1, keepdim=True).clamp(min=tiny)
    largest = raw.masked_fill(~mask, 0.0).amax(1, keepdim=True)
    # The largest is over corrupted tokens alone, so tokens outside the mask may exceed it: they are not used.
    return (raw / largest.clamp(min=tiny)).clamp(max=1.0)


def token_counts(mask: Tensor) -> Tensor:
    """Return how many tokens of `mask` [B, N] are untouched and how many corrupted: [2] float32."""
    return torch.stack([(~mask).sum(), mask.sum()]).float()


class NeighbourhoodLoss:
    """lambda_restore * MSE + lambda_normal * L_R + lambda_anomalous * L_T.

    Args:
        restoration: weight of the restorer's error.
        normal: weight of the mean cross-entropy over untouched tokens, L_R.
        anomalous: weight of the weighted mean cross-entropy over corrupted tokens, L_T.
        weight: 'off', 'var' or 'var_mean', see `neighbourhood_weights`.
        warmup_steps: steps over which w goes from 1 to its full effect; 0 starts with it.

    Raises:
        ConfigError: an unknown `weight`.
    """

    def __init__(self, restoration: float, normal: float, anomalous: float, weight: str, warmup_steps: int) -> None:
        if weight not in WEIGHTS:
            raise ConfigError(f"loss.weight is {weight!r}; use one of {', '.join(WEIGHTS)}.")
        self.restoration, self.normal, self.anomalous = restoration, normal, anomalous
        self.weight, self.warmup_steps = weight, warmup_steps

    def __call__(
        self,
        image: Tensor,
        restored: Tensor,
        logits: Tensor,
        mask: Tensor,
        stride: int,
        step: int,
        counts: Tensor | None = None,
    ) -> DetectorLosses:
        """Compute the loss of one batch.

        Args:
            image: x, the slice before corruption, [B, 1, S, S].
            restored: G'(corrupted tokens), [B, 1, S, S].
            logits: [B, N], higher is more anomalous.
            mask: [B, N] bool, corrupted tokens.
            stride: s.
            step: training steps taken, for the warm-up.
            counts: what the sums over untouched and over corrupted tokens are divided by, [2]; None is `token_counts`
                of this batch. With the mean counts of several processes, the mean of their losses is the joint
                batch's, however unequal their shares of corrupted tokens.
        """
        restoration = F.mse_loss(restored, image)
        weights = self.token_weights(restored - image, mask, stride)
        if self.warmup_steps:
            weights = torch.lerp(torch.ones_like(weights), weights, min(1.0, step / self.warmup_steps))
        entropy = F.binary_cross_entropy_with_logits(logits, mask.to(logits.dtype), reduction="none")
        counts = token_counts(mask) if counts is None else counts
        counts = torch.where(counts > 0, counts, 1.0)  # no such token: its sum is 0
        normal = entropy[~mask].sum() / counts[0]
        anomalous = (weights * entropy)[mask].sum() / counts[1]
        total = self.restoration * restoration + self.normal * normal + self.anomalous * anomalous
        return DetectorLosses(total, restoration, normal, anomalous)

    def token_weights(self, residual: Tensor, mask: Tensor, stride: int) -> Tensor:
        """Return w, [B, N]; what a variant of this loss replaces."""
        return neighbourhood_weights(residual, mask, stride, self.weight)
