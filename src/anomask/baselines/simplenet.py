"""SimpleNet: a discriminator tells normal ImageNet features from the same features with noise."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anomask.baselines.features import ImageNetFeatures, patch_features
from anomask.baselines.method import Baseline


class SimpleNet(Baseline):
    """A linear adaptor, Gaussian noise in feature space, and a small discriminator with a truncated L1 loss.

    As published: locally aware patch features of strides 8 and 16, one linear adaptor, anomalous features = normal
    ones + isotropic noise, a two-layer discriminator (batch norm, leaky ReLU), both in one pass, the loss below, and a
    map that is the negative discriminator output, enlarged and smoothed. Not as published: the backbone
    (Wide-ResNet-50-2 there) and its channels, all kept (there pooled to 1536); features are standardised first, so that
    the noise's scale does not hang on the backbone; one Adam for both parts (there AdamW 1e-4 for the adaptor, Adam
    2e-4 for the discriminator); the step with the lowest validation loss is kept (there the best AUROC on the test
    set); softplus makes the map positive and keeps the order of its values.

    Args:
        features: frozen, finest stride first.
        hidden: width of the discriminator.
        noise: standard deviation of the noise, in units of the adapted features.
        margin: of the truncated L1 loss.
        sigma: Gaussian smoothing, in pixels of the resized slice.
    """

    title = "SimpleNet"
    family = "synthesis"
    source = "Liu et al., CVPR 2023"
    frozen = ("features",)

    def __init__(self, features: ImageNetFeatures, hidden: int, noise: float, margin: float, sigma: float) -> None:
        super().__init__()
        channels = sum(features.channels)
        self.features, self.noise, self.margin, self.sigma = features, noise, margin, sigma
        self.standardise = nn.BatchNorm1d(channels, affine=False)
        self.adaptor = nn.Linear(channels, channels)
        self.discriminator = nn.Sequential(
            nn.Linear(channels, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1, bias=False)
        )
        for layer in (self.adaptor, self.discriminator[0], self.discriminator[-1]):
            nn.init.xavier_normal_(layer.weight)

    def adapted(self, image: Tensor) -> Tensor:
        """Return adapted features [B * N, C] of slices [B, 1, S, S]."""
        found = patch_features(self.features(image)).flatten(2).mT.flatten(0, 1)
        return self.adaptor(self.standardise(found))

    def loss(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return max(0, m - D(normal)) + max(0, m + D(noisy)), the mean over patches."""
        normal = self.adapted(image)
        noise = torch.randn(normal.shape, generator=generator).to(normal)
        scores = self.discriminator(torch.cat([normal, normal + self.noise * noise]))
        of_normal, of_noisy = scores.chunk(2)
        return F.relu(self.margin - of_normal).mean() + F.relu(self.margin + of_noisy).mean()

    @torch.no_grad()
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return softplus of the smoothed negative discriminator output."""
        scores = -self.discriminator(self.adapted(image)).view(len(image), *self.features.grid)
        return F.softplus(self.features.anomaly_map(scores, image.shape[-1], self.sigma))
