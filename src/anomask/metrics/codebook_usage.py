"""How much of a codebook is in use."""

import torch
from torch import Tensor
from torchmetrics import Metric


class CodebookUsage(Metric):
    """Counts first-level codes over an epoch and all processes.

    Args:
        n_codes: K.
    """

    full_state_update = False

    def __init__(self, n_codes: int) -> None:
        super().__init__()
        self.n_codes = n_codes
        self.add_state("counts", torch.zeros(n_codes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, codes: Tensor) -> None:
        """Add codes [B, N, L]; only the first level is counted."""
        self.counts += torch.bincount(codes[..., 0].flatten(), minlength=self.n_codes)

    def compute(self) -> dict[str, Tensor]:
        """Return `used_share` in [0, 1] and `perplexity` in [1, K], the effective number of codes."""
        share = self.counts / self.counts.sum().clamp(min=1)
        return {
            "used_share": (self.counts > 0).float().mean(),
            "perplexity": torch.special.entr(share).sum().exp(),
        }
