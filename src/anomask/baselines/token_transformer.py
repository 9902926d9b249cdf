"""The distribution of a slice's codes, one after the other: MONAI's transformer, and restoration of unlikely codes."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from monai.networks.nets import DecoderOnlyTransformer
from torch import Tensor, nn


class TokenTransformer(nn.Module):
    """Autoregressive model of N codes in raster order.

    Args:
        n_codes: K, the codes of the codebook; one more code stands for the start.
        n_tokens: N.
        depth: transformer blocks.
        heads: attention heads.
        head_width: width of a head; heads * head_width is the width of the blocks.
        dropout: share of the embeddings' values that training sets to 0; MONAI's blocks have none of their own.
    """

    def __init__(self, n_codes: int, n_tokens: int, depth: int, heads: int, head_width: int, dropout: float) -> None:
        super().__init__()
        self.n_codes, self.n_tokens = n_codes, n_tokens
        self.network = DecoderOnlyTransformer(
            n_codes + 1,
            n_tokens,
            heads * head_width,
            depth,
            heads,
            embedding_dropout_rate=dropout,
            use_combined_linear=True,
            use_flash_attention=True,
        )
        for block in self.network.blocks:  # without cross-attention its norm is idle, and processes wait for gradients
            block.norm_cross_attn.requires_grad_(False)

    def surprise(self, codes: Tensor) -> Tensor:
        """Return -log p(code | codes before it) in nats, [B, N], of codes [B, N]."""
        logits = self.network(F.pad(codes, (1, -1), value=self.n_codes))[..., : self.n_codes]
        return F.cross_entropy(logits.transpose(1, 2), codes, reduction="none")

    @torch.no_grad()
    def restore(self, codes: Tensor, limit: Tensor, uniform: Tensor) -> Tensor:
        """Replace codes that are too surprising after what is restored before them by draws from this model.

        Only in eval mode: the embeddings' dropout is left out.

        Args:
            codes: [B, N].
            limit: surprise, in nats, above which a code is drawn anew.
            uniform: [R, N] in [0, 1), the random numbers of R restorations, the same for every slice.

        Returns:
            [B, R, N]
        """
        restored = codes[:, None].repeat(1, len(uniform), 1)
        touched = (self.surprise(codes) > limit).any(1)  # in the other slices nothing would be drawn
        if bool(touched.any()):
            restored[touched] = self._redraw(restored[touched], limit, uniform)
        return restored

    def _redraw(self, codes: Tensor, limit: Tensor, uniform: Tensor) -> Tensor:
        shape = codes.shape
        codes, uniform = codes.flatten(0, 1), uniform.repeat(len(codes), 1)  # [B * R, N]
        step = self._stepper(len(codes))
        before = torch.full_like(codes[:, 0], self.n_codes)
        for place in range(self.n_tokens):
            log_probability = step(before, place).log_softmax(-1)
            before = codes[:, place]
            unlikely = -log_probability.gather(1, before[:, None]).squeeze(1) > limit
            before[unlikely] = draw(log_probability[unlikely].exp(), uniform[unlikely, place])
        return codes.view(shape)

    def _stepper(self, rows: int) -> Callable[[Tensor, int], Tensor]:
        """Return a function (code before [rows], place) -> logits [rows, K] that keeps the keys and values of earlier
        places; MONAI's own forward computes them all again for each place.
        """
        network = self.network
        width = network.attn_layers_dim
        shape = (rows, network.attn_layers_heads, self.n_tokens, width // network.attn_layers_heads)
        kept = [tuple(network.to_logits.weight.new_empty(shape) for _ in range(2)) for _ in network.blocks]

        def step(before: Tensor, place: int) -> Tensor:
            position = network.position_embeddings.embedding.weight[place]
            hidden = (network.token_embeddings(before) + position)[:, None]  # [rows, 1, width]
            for block, (keys, values) in zip(network.blocks, kept, strict=True):
                attention = block.attn
                query, key, value = attention.input_rearrange(attention.qkv(block.norm1(hidden)))
                keys[:, :, place], values[:, :, place] = key.squeeze(2), value.squeeze(2)
                mixed = F.scaled_dot_product_attention(query, keys[:, :, : place + 1], values[:, :, : place + 1])
                hidden = hidden + attention.out_proj(attention.out_rearrange(mixed))
                hidden = hidden + block.mlp(block.norm2(hidden))
            return network.to_logits(hidden[:, 0])[:, : self.n_codes]

        return step


def draw(probability: Tensor, uniform: Tensor) -> Tensor:
    """Return one code a row, [n], by inverting the distribution functions of rows [n, K] at `uniform` [n] in [0, 1)."""
    total = probability.cumsum(-1)
    place = torch.searchsorted(total, uniform[:, None] * total[:, -1:], right=True)
    return place.squeeze(1).clamp(max=probability.shape[-1] - 1)
