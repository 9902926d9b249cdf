"""The whole detector of stage 2: frozen codebook, restorer and token classifier."""

from typing import Self

from torch import Tensor, nn

from anomask.models.tokens import to_grid
from anomask.models.vqvae import VQVAE


class Detector(nn.Module):
    """Frozen VQ-VAE, trainable restorer G' and trainable classifier (METHOD.md sections 4 to 6).

    The VQ-VAE is frozen for good: no gradient, and `train()` leaves it in eval mode.

    Args:
        vqvae: stage 1's model with its weights.
        restorer: G', a decoder of its own.
        classifier: tokens [B, N, C] -> logits [B, N].
        classifier_input: 'quantised' shows the classifier Q (the paper's), 'latent' shows it Z, which still carries
            what the codebook cannot express.
    """

    def __init__(self, vqvae: VQVAE, restorer: nn.Module, classifier: nn.Module, classifier_input: str) -> None:
        super().__init__()
        self.vqvae, self.restorer, self.classifier = vqvae, restorer, classifier
        self.classifier_input = classifier_input
        self.vqvae.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Switch the trainable parts; the frozen VQ-VAE stays in eval mode."""
        super().train(mode)
        self.vqvae.eval()
        return self

    def start_restorer(self) -> None:
        """Give G' the weights of the frozen G."""
        self.restorer.load_state_dict(self.vqvae.decoder.state_dict())

    def classify(self, quantised: Tensor, latent: Tensor) -> Tensor:
        """Return anomaly logits [B, N] of the tokens [B, N, C] after and before quantisation."""
        return self.classifier(latent if self.classifier_input == "latent" else quantised)

    def restore(self, quantised: Tensor) -> Tensor:
        """Rebuild slices [B, 1, S, S] from quantised tokens [B, N, C]."""
        return self.restorer(to_grid(quantised))
