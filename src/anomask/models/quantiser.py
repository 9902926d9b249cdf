"""The codebook: nearest-code quantisation with EMA updates, dead-code restarts and residual depth."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from anomask.models.distributed import all_sum, draw_global_rows


class Quantised(NamedTuple):
    """Tokens after quantisation, with what an update of the codebook needs."""

    tokens: Tensor  # [B, N, C] sum of the chosen codes over the levels
    codes: Tensor  # [B, N, L] int64, the code chosen at each residual level
    inputs: Tensor  # [L, B * N, C] what each level quantised; level 0 is the encoder's token


def squared_distances(tokens: Tensor, codebook: Tensor) -> Tensor:
    """Return squared Euclidean distances up to a constant per token, in float32 even under autocast.

    The token's own squared norm is left out: it changes neither the nearest code nor the order of neighbours.

    Args:
        tokens: [n, C]
        codebook: [K, C]

    Returns:
        [n, K], ``|e|^2 - 2 z.e``
    """
    with torch.autocast(tokens.device.type, enabled=False):
        codebook = codebook.float()
        return torch.addmm(codebook.square().sum(1), tokens.float(), codebook.t(), alpha=-2.0)


class Quantiser(nn.Module):
    """Codebook of K codes of width C, learned by exponential moving averages (method.md section 2).

    `forward` only reads; a training step calls `update` with its result. Both the update's statistics and the tokens
    that re-seed dead codes come from the batches of all processes.

    Args:
        width: C, token width.
        n_codes: K.
        decay: share of the old moving average kept by one update, in (0, 1).
        restart_threshold: a code whose moving count falls below it is dead and is re-seeded; 0 turns restarts off.
        restart_warmup: updates before the first restart.
        depth: residual levels; 1 is plain quantisation.
        shared: whether all levels use one codebook.
        epsilon: Laplace smoothing of the counts.
    """

    def __init__(
        self,
        width: int,
        n_codes: int,
        decay: float,
        restart_threshold: float,
        restart_warmup: int,
        depth: int,
        shared: bool,
        epsilon: float,
    ) -> None:
        super().__init__()
        self.width, self.n_codes, self.depth, self.shared = width, n_codes, depth, shared
        self.decay, self.epsilon = decay, epsilon
        self.restart_threshold, self.restart_warmup = restart_threshold, restart_warmup
        books = 1 if shared else depth
        self.register_buffer("codebooks", torch.zeros(books, n_codes, width))
        self.register_buffer("ema_counts", torch.ones(books, n_codes))
        self.register_buffer("ema_sums", torch.zeros(books, n_codes, width))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @property
    def codebook(self) -> Tensor:
        """The first level's codes, [K, C]."""
        return self.codebooks[0]

    def forward(self, tokens: Tensor) -> Quantised:
        """Replace each token by its nearest code (level by level on what is left of it).

        Args:
            tokens: [B, N, C]
        """
        batch, n_tokens, width = tokens.shape
        rest = tokens.detach().float().reshape(-1, width)
        inputs, codes = [], []
        for level in range(self.depth):
            book = self._book(level)
            code = squared_distances(rest, book).argmin(1)
            inputs.append(rest)
            codes.append(code)
            rest = rest - book[code]
        all_codes = torch.stack(codes, dim=-1).view(batch, n_tokens, self.depth)
        return Quantised(self.lookup(all_codes), all_codes, torch.stack(inputs))

    def lookup(self, codes: Tensor) -> Tensor:
        """Return the tokens that stand for codes [..., L]: [..., C], the sum of the codes over the levels."""
        levels = [self._book(level)[codes[..., level]] for level in range(codes.shape[-1])]
        return torch.stack(levels).sum(0) if len(levels) > 1 else levels[0]

    @torch.no_grad()
    def initialise(self, tokens: Tensor, generator: torch.Generator) -> None:
        """Start the codes from random tokens of the first global batch, [B, N, C]."""
        rest = tokens.float().reshape(-1, self.width)
        for book in range(len(self.codebooks)):
            self.codebooks[book] = draw_global_rows(rest, self.n_codes, generator)
            rest = rest - self.codebooks[book][squared_distances(rest, self.codebooks[book]).argmin(1)]
        self.ema_sums.copy_(self.codebooks)
        self.ema_counts.fill_(1.0)

    @torch.no_grad()
    def update(self, quantised: Quantised, generator: torch.Generator) -> Tensor:
        """Move the codes to the averages of their tokens and re-seed dead ones.

        Args:
            quantised: the result of `forward` on this step's tokens.
            generator: source of the restarts, on the CPU and in the same state in every process.

        Returns:
            the share of codes that were restarted, a scalar in [0, 1].
        """
        codes = quantised.codes.reshape(-1, self.depth).t()  # [L, B * N]
        restarted = codes.new_zeros((), dtype=torch.float32)
        if self.shared:  # slices first, levels within: processes' shares one after the other are the joint batch
            pairs = [(quantised.inputs.transpose(0, 1).reshape(-1, self.width), codes.t().reshape(-1))]
        else:
            pairs = list(zip(quantised.inputs, codes, strict=True))
        for book, (tokens, code) in enumerate(pairs):
            restarted += self._update_book(book, tokens, code, generator)
        self.updates += 1
        return restarted / len(pairs)

    def _update_book(self, book: int, tokens: Tensor, code: Tensor, generator: torch.Generator) -> Tensor:
        counts = torch.bincount(code, minlength=self.n_codes).float()
        sums = torch.zeros_like(self.codebooks[book]).index_add_(0, code, tokens)
        counts, sums = all_sum(counts), all_sum(sums)
        ema_count, ema_sum = self.ema_counts[book], self.ema_sums[book]
        ema_count.lerp_(counts, 1.0 - self.decay)
        ema_sum.lerp_(sums, 1.0 - self.decay)
        total = ema_count.sum()
        smoothed = (ema_count + self.epsilon) / (total + self.n_codes * self.epsilon) * total
        self.codebooks[book] = ema_sum / smoothed[:, None]
        dead = ema_count < self.restart_threshold
        if int(self.updates) < self.restart_warmup or not bool(dead.any()):
            return dead.new_zeros((), dtype=torch.float32)
        seeds = draw_global_rows(tokens, int(dead.sum()), generator)
        self.codebooks[book][dead] = seeds
        ema_sum[dead] = seeds
        ema_count[dead] = 1.0  # the state of a code that was seen once, so that it is not dead again at once
        return dead.float().mean()

    def perplexity(self) -> Tensor:
        """Return the effective number of first-level codes in use, from the moving counts: a scalar in [1, K]."""
        share = self.ema_counts[0] / self.ema_counts[0].sum()
        return torch.special.entr(share).sum().exp()

    def _book(self, level: int) -> Tensor:
        return self.codebooks[0 if self.shared else level]
