"""The pixel refiner's loss: painted pixels against all others."""

from monai.losses import DiceFocalLoss
from torch import Tensor


class PixelLoss:
    """Focal and soft Dice loss, slice by slice, on painted slices alone (their pixels are known exactly).

    A slice whose codes were replaced has anomalous tokens, but its pixels are those of the normal slice: it counts 0.

    Args:
        weight: of this loss beside the others.
        gamma: of the focal loss.
    """

    def __init__(self, weight: float, gamma: float) -> None:
        self.weight = weight
        self.loss = DiceFocalLoss(sigmoid=True, gamma=gamma, reduction="none")

    def __call__(self, logits: Tensor, mask: Tensor, painted: Tensor) -> Tensor:
        """Return the weighted mean over the batch, a scalar.

        Args:
            logits: [B, 1, S, S]
            mask: [B, 1, S, S] bool, painted pixels.
            painted: [B] bool, slices that count.
        """
        by_slice = self.loss(logits.float(), mask.float()).mean((1, 2, 3))
        return self.weight * (by_slice * painted).mean()
