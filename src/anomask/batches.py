"""The records that travel between packages.

Shape legend, used in every docstring: ``B`` batch, ``C`` channels or token width, ``H W`` pixels, ``h w`` token
grid, ``N = h * w`` tokens in row-major order, ``K`` codes, ``M`` corrupted tokens.
"""

from typing import NamedTuple

from torch import Tensor


class SliceBatch(NamedTuple):
    """A batch of CT slices with what is known about them."""

    image: Tensor  # [B, 1, H, W] float32 in [0, 1]
    index: Tensor  # [B] int64, row in the data set's list of records
    mask: Tensor  # [B, 1, H, W] bool, lesion ground truth; zeros for a normal slice or where it is unknown
    lung_mask: Tensor  # [B, 1, H, W] bool; where the data set has none, an estimate or ones (data.lung_masks)
    has_mask: Tensor  # [B] bool, whether `mask` is ground truth (true for every normal slice)
    has_lung_mask: Tensor  # [B] bool, whether `lung_mask` came with the data
    frame: Tensor  # [B, 3] what part of the slice all of this shows, see `anomask.data.loading.frame`


class FrozenFeatures(NamedTuple):
    """What the frozen codebook says about a batch: constants of a slice as long as it is not augmented."""

    tokens: Tensor  # [B, N, C] encoder output before quantisation
    quantised: Tensor  # [B, N, C] the same tokens after quantisation
    codes: Tensor  # [B, N] int64, first-level code of each token
    salience: Tensor  # [B, N] >= 0
    residual: Tensor  # [B, N] mean absolute reconstruction error of each token's pixel patch


class Corruption(NamedTuple):
    """Tokens with a synthesised anomaly in them."""

    tokens: Tensor  # [B, N, C]
    mask: Tensor  # [B, N] bool, true where a token was replaced (label 1 = anomalous)


class Classification(NamedTuple):
    """What the classifier says of a batch, as logits; higher is more anomalous."""

    tokens: Tensor  # [B, N]
    pixels: Tensor | None  # [B, 1, H, W], the refiner's; None: no refiner


class Detection(NamedTuple):
    """What inference says about a batch of slices; higher is worse everywhere."""

    anomaly_map: Tensor  # [B, 1, H, W] >= 0
    score: Tensor  # [B] >= 0
    probability: Tensor | None = None  # [B, h, w] in [0, 1], the classifier's, before the gate; None: no classifier
    restoration: Tensor | None = None  # [B, 1, H, W] in [0, 1]; None: no restorer
    refined: Tensor | None = None  # [B, H, W] in [0, 1], the classifier's answer on pixels; None: no refiner
