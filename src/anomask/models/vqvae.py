"""The VQ-VAE of stage 1: encoder, codebook and decoder behind one face."""

from torch import Tensor, nn

from anomask.errors import ConfigError
from anomask.models.quantiser import Quantised, Quantiser
from anomask.models.tokens import to_grid, to_tokens


class VQVAE(nn.Module):
    """Vector-quantised auto-encoder of normal slices (method.md section 2).

    Args:
        encoder: [B, 1, S, S] -> [B, C, h, w], with an attribute `stride`.
        quantiser: the codebook.
        decoder: [B, C, h, w] -> [B, 1, S, S] in [0, 1], with an attribute `stride`.
        size: S, side of the slices in pixels.

    Raises:
        ConfigError: the strides differ, or the stride does not divide the side.
    """

    def __init__(self, encoder: nn.Module, quantiser: Quantiser, decoder: nn.Module, size: int) -> None:
        super().__init__()
        if encoder.stride != decoder.stride:
            raise ConfigError(
                f"encoder stride {encoder.stride} and decoder stride {decoder.stride} differ (model.encoder, "
                "model.decoder). They must be equal: change the channel lists or the stem and head strides."
            )
        if size % encoder.stride:
            raise ConfigError(
                f"image size {size} is not a multiple of the encoder's stride {encoder.stride} (data.size, "
                f"model.encoder). Use {size // encoder.stride * encoder.stride or encoder.stride} or another multiple."
            )
        self.encoder, self.quantiser, self.decoder = encoder, quantiser, decoder
        self.size, self.stride = size, encoder.stride

    def encode(self, image: Tensor) -> Tensor:
        """Return the tokens before quantisation, [B, N, C], of slices [B, 1, S, S]."""
        return to_tokens(self.encoder(image))

    def decode(self, tokens: Tensor) -> Tensor:
        """Return the slices [B, 1, S, S] in [0, 1] that tokens [B, N, C] stand for."""
        return self.decoder(to_grid(tokens))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Quantised]:
        """Reconstruct slices, with a straight-through gradient past the codebook.

        Returns:
            reconstruction [B, 1, S, S], tokens before quantisation [B, N, C], and the quantised tokens.
        """
        tokens = self.encode(image)
        quantised = self.quantiser(tokens)
        straight = tokens + (quantised.tokens - tokens).detach()
        return self.decode(straight), tokens, quantised
