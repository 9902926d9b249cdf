"""The token classifier: a pre-norm transformer that says of each token how anomalous it is."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anomask.errors import ConfigError


class TokenClassifier(nn.Module):
    """Transformer over the tokens of one slice, one logit a token; label 1 = anomalous (method.md section 4).

    Args:
        width: C, width of the incoming tokens.
        n_tokens: N, a square number.
        depth: transformer blocks.
        heads: attention heads.
        head_width: width of a head; heads * head_width is the attention's inner width.
        dropout: after attention and MLP, in [0, 1). Costs up to 45 % of a small model's step on a CPU.
        mlp: whether blocks have an MLP; without it they are attention only, as in the authors' release.
        mlp_ratio: the MLP's hidden width as a multiple of C.
        positions: 'learned' or 'sincos' (fixed, two-dimensional).

    Raises:
        ConfigError: `positions` is neither.
    """

    def __init__(
        self,
        width: int,
        n_tokens: int,
        depth: int,
        heads: int,
        head_width: int,
        dropout: float,
        mlp: bool,
        mlp_ratio: float,
        positions: str,
    ) -> None:
        super().__init__()
        if positions not in ("learned", "sincos"):
            raise ConfigError(f"model.classifier.positions is {positions!r}; use 'learned' or 'sincos'.")
        if positions == "learned":
            self.positions = nn.Parameter(torch.randn(1, n_tokens, width) * 0.02)
        else:
            self.register_buffer("positions", sincos_positions(n_tokens, width)[None])
        self.blocks = nn.Sequential(*(Block(width, heads, head_width, dropout, mlp, mlp_ratio) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1)

    def features(self, tokens: Tensor) -> Tensor:
        """Look at tokens [B, N, C] in the light of each other; returns features of that shape."""
        return self.norm(self.blocks(tokens + self.positions))

    def forward(self, tokens: Tensor) -> Tensor:
        """Classify tokens [B, N, C]; returns logits [B, N]."""
        return self.head(self.features(tokens)).squeeze(-1)


class Block(nn.Module):
    """Pre-norm attention and (optionally) an MLP, each around a skip; [B, N, C] in and out."""

    def __init__(self, width: int, heads: int, head_width: int, dropout: float, mlp: bool, mlp_ratio: float) -> None:
        super().__init__()
        inner = heads * head_width
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * inner, bias=False)
        self.to_out = nn.Linear(inner, width)
        hidden = round(width * mlp_ratio)
        self.mlp = (
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
            if mlp
            else None
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix the tokens of each slice."""
        query, key, value = self.to_qkv(self.norm(tokens)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)  # [B, heads, N, head width]
        tokens = tokens + self.dropout(self.to_out(mixed.transpose(1, 2).flatten(2)))
        return tokens if self.mlp is None else tokens + self.dropout(self.mlp(tokens))


def sincos_positions(n_tokens: int, width: int) -> Tensor:
    """Return fixed two-dimensional sine and cosine positions [N, C] for a square grid (Dosovitskiy 2021, He 2022).

    A quarter of the channels each for sine and cosine of row and column; left-over channels are 0.
    """
    side, quarter = round(n_tokens**0.5), width // 4
    frequency = 10_000.0 ** (-torch.arange(quarter) / max(quarter, 1))
    angle = torch.arange(side)[:, None] * frequency  # [side, C / 4]
    wave = torch.cat([angle.sin(), angle.cos()], dim=1)  # [side, C / 2]
    rows = wave[:, None].expand(side, side, -1)
    columns = wave[None].expand(side, side, -1)
    positions = torch.cat([rows, columns], dim=-1).reshape(n_tokens, -1)
    return F.pad(positions, (0, width - positions.shape[1]))
