"""CutPaste: a network that tells pasted patches from intact ones, then a Gaussian density of its embeddings."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

from anomask.baselines.cutpaste_patches import Rectangles, Scars
from anomask.baselines.method import Baseline
from anomask.errors import ConfigError


class CutPaste(Baseline):
    """3-way CutPaste on patches: intact, CutPaste, CutPaste-scar; minus log density of every patch of a slice.

    As published: random crops of a quarter of the side before pasting, both kinds of pasting, cross-entropy over three
    classes, one Gaussian density for the embeddings of all patches, scores spread over their patches with a Gaussian.
    Different: a narrow ResNet-18 from scratch without max-pooling (half the side, so half the strides); patches are
    embedded every 1/16 of the side (1/64 in the paper); the spread is divided by its sum of weights, so that edges are
    not paler; the covariance gets a ridge; no projection head; grey slices leave no hue to jitter.

    Args:
        size: S, side of the slices in pixels.
        crop_share: side of a patch in slice sides.
        stride_share: distance of neighbouring patches in slice sides.
        crops: patches a slice and step.
        channels: of the four stages; the last is D, the embedding's width.
        rectangles: CutPaste.
        scars: CutPaste-scar.
        ridge: added to the covariance, in units of its mean variance.
        sigma_share: of the Gaussian that spreads a score, in patch sides.

    Raises:
        ConfigError: patches at that stride do not cover the slice.
    """

    title = "CutPaste"
    family = "synthesis"
    source = "Li et al., CVPR 2021"

    def __init__(
        self,
        size: int,
        crop_share: float,
        stride_share: float,
        crops: int,
        channels: list[int],
        rectangles: Rectangles,
        scars: Scars,
        ridge: float,
        sigma_share: float,
    ) -> None:
        super().__init__()
        self.crop, self.stride = round(crop_share * size), max(1, round(stride_share * size))
        if (size - self.crop) % self.stride:
            raise ConfigError(
                f"patches of {self.crop} px every {self.stride} px do not cover slices of {size} px "
                "(baseline.crop_share, stride_share, data.size). Use a data.size that is a multiple of 16."
            )
        self.crops, self.rectangles, self.scars, self.ridge = crops, rectangles, scars, ridge
        self.network = ResNet("basic", [2] * 4, channels, 2, 1, conv1_t_stride=2, no_max_pool=True, feed_forward=False)
        self.head = nn.Linear(channels[-1], 3)
        place = (torch.arange(self.crop) + 0.5) / self.crop - 0.5
        weight = torch.exp(-0.5 * (place / sigma_share) ** 2)
        self.register_buffer("spread", torch.outer(weight, weight)[None, None], persistent=False)
        self.register_buffer("mean", torch.zeros(channels[-1]))
        self.register_buffer("whitening", torch.eye(channels[-1]))

    def loss(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return the cross-entropy of the three classes on random patches."""
        intact = self.random_patches(image, generator)
        kinds = [intact, self.rectangles(intact, generator), self.scars(intact, generator)]
        labels = torch.arange(3, device=image.device).repeat_interleave(len(intact))
        return F.cross_entropy(self.head(self.network(torch.cat(kinds))), labels)

    def random_patches(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return patches [B * crops, 1, crop, crop] at random places of slices [B, 1, S, S]."""
        image = image.repeat_interleave(self.crops, 0)
        corner = torch.randint(image.shape[-1] - self.crop + 1, (2, len(image), 1), generator=generator)
        rows, columns = (corner + torch.arange(self.crop)).to(image.device)  # [B * crops, crop] each
        which = torch.arange(len(image), device=image.device)[:, None, None]
        return image[:, 0][which, rows[:, :, None], columns[:, None, :]][:, None]

    def embed(self, image: Tensor) -> Tensor:
        """Return the embeddings [B, P, D] of all patches of slices [B, 1, S, S], row by row."""
        patches = F.unfold(image, self.crop, stride=self.stride).transpose(1, 2)  # [B, P, crop^2]
        return self.network(patches.reshape(-1, 1, self.crop, self.crop)).unflatten(0, patches.shape[:2])

    @torch.no_grad()
    def fit(self, normals: Iterable[Tensor]) -> None:
        """Estimate the density: mean and covariance over all patches of the training normals, in one pass."""
        width = len(self.mean)
        count, total, squares = 0, torch.zeros(width, dtype=torch.double), torch.zeros(width, width, dtype=torch.double)
        for image in normals:
            embeddings = self.embed(image).flatten(0, 1).double().cpu()
            count, total = count + len(embeddings), total + embeddings.sum(0)
            squares += embeddings.T @ embeddings
        mean = total / count
        covariance = squares / count - torch.outer(mean, mean)
        covariance += self.ridge * covariance.diagonal().mean().clamp(min=1e-12) * torch.eye(width)
        self.mean.copy_(mean)
        self.whitening.copy_(torch.linalg.inv(torch.linalg.cholesky(covariance)))

    @torch.no_grad()
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return minus the log density up to a constant, each pixel a weighted mean over the patches it is in."""
        whitened = (self.embed(image) - self.mean) @ self.whitening.T
        energy = 0.5 * whitened.square().sum(2)  # [B, P]
        side = (image.shape[-1] - self.crop) // self.stride + 1
        energy = energy.view(-1, 1, side, side)
        spread, weight = (
            F.conv_transpose2d(values, self.spread, stride=self.stride) for values in (energy, torch.ones_like(energy))
        )
        return spread / weight
