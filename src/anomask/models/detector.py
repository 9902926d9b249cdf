"""The whole detector of stage 2: frozen codebook, restorer and token classifier."""

from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from anomask.batches import Classification
from anomask.errors import ConfigError
from anomask.models.refiner import RESIDUAL_SCALE
from anomask.models.tokens import to_grid, to_tokens
from anomask.models.vqvae import VQVAE

INPUTS = ("quantised", "latent", "latent_and_residual")


class Detector(nn.Module):
    """Frozen VQ-VAE, trainable restorer G' and trainable classifier (method.md sections 4 to 6).

    The VQ-VAE is frozen for good: no gradient, and `train()` leaves it in eval mode.

    Args:
        vqvae: stage 1's model with its weights.
        restorer: G', a decoder of its own.
        classifier: tokens [B, N, C] -> logits [B, N].
        classifier_input: 'quantised' shows the classifier Q (the paper's), 'latent' shows it Z, which still carries
            what the codebook cannot express, 'latent_and_residual' also each token's patch of the slice minus its
            restoration.
        refiner: takes the classifier's answer to pixels, see `anomask.models.refiner`; None: tokens are all there is.

    Raises:
        ConfigError: an unknown `classifier_input`.
    """

    def __init__(
        self,
        vqvae: VQVAE,
        restorer: nn.Module,
        classifier: nn.Module,
        classifier_input: str,
        refiner: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.vqvae, self.restorer, self.classifier, self.refiner = vqvae, restorer, classifier, refiner
        if classifier_input not in INPUTS:
            raise ConfigError(f"model.classifier_input is {classifier_input!r}; use one of {', '.join(INPUTS)}.")
        self.classifier_input = classifier_input
        if classifier_input == "latent_and_residual":
            self.residual_embedding = nn.Linear(vqvae.stride**2, vqvae.quantiser.codebook.shape[1])
        self.vqvae.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Switch the trainable parts; the frozen VQ-VAE stays in eval mode."""
        super().train(mode)
        self.vqvae.eval()
        return self

    def start_restorer(self) -> None:
        """Give G' the weights of the frozen G."""
        self.restorer.load_state_dict(self.vqvae.decoder.state_dict())

    def classify(self, quantised: Tensor, latent: Tensor, image: Tensor, restored: Tensor) -> Classification:
        """Say of each token, and with a refiner of each pixel, how anomalous it is.

        Args:
            quantised: tokens after quantisation, [B, N, C].
            latent: tokens before quantisation, [B, N, C].
            image: x, [B, 1, S, S].
            restored: its restoration, [B, 1, S, S]; no gradient flows into it.
        """
        residual = image - restored.detach()
        features = self.classifier.features(self._seen(quantised, latent, residual))
        tokens = self.classifier.head(features).squeeze(-1)
        pixels = None if self.refiner is None else self.refiner(image, residual, to_grid(features))
        return Classification(tokens, pixels)

    def _seen(self, quantised: Tensor, latent: Tensor, residual: Tensor) -> Tensor:
        if self.classifier_input == "quantised":
            return quantised
        if self.classifier_input == "latent":
            return latent
        patches = to_tokens(F.pixel_unshuffle(RESIDUAL_SCALE * residual, self.vqvae.stride))
        return latent + self.residual_embedding(patches)

    def restore(self, quantised: Tensor) -> Tensor:
        """Rebuild slices [B, 1, S, S] from quantised tokens [B, N, C]."""
        return self.restorer(to_grid(quantised))
