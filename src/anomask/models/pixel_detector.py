"""The default's detector: a pixel network on the slice, and where wanted on a frozen codebook's view of it."""

from torch import Tensor, nn

from anomask.models.codebook_view import CodebookView


class PixelDetector(nn.Module):
    """Says of each pixel of a slice how anomalous it is.

    Args:
        network: slice and further channels -> one logit a pixel, see `anomask.models.unet.PixelUNet`.
        view: what a frozen codebook says of the slice, as those further channels; None: the slice is all there is.
    """

    def __init__(self, network: nn.Module, view: CodebookView | None = None) -> None:
        super().__init__()
        self.network, self.view = network, view

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B, 1, S, S] of slices [B, 1, S, S] in [0, 1]."""
        return self.network(image) if self.view is None else self.network(image, self.view(image))
