"""What a comparison method has to offer; training, thresholds, evaluation and records are the same for all."""

from collections.abc import Iterable
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from anomask.batches import SliceBatch


class Baseline(nn.Module):
    """A comparison method: learns from normal slices, then draws an anomaly map of any slice.

    A subclass gives `loss` if it learns by gradient (`training_loss` if it needs more of a batch than the slices, such
    as lung masks), `fit` if it also or only looks at all training normals once, and `anomaly_map`. Its slice score is
    the score rule of `conf/scoring`, the same for every method of a table.

    Attributes:
        title: name in tables.
        family: 'reconstruction', 'synthesis' or 'feature'.
        source: the publication.
        frozen: names of submodules that are never trained; they stay in eval mode.
    """

    title: ClassVar[str]
    family: ClassVar[str]
    source: ClassVar[str]
    frozen: ClassVar[tuple[str, ...]] = ()

    @property
    def learns(self) -> bool:
        """Whether the method takes gradient steps."""
        own = type(self)
        return own.loss is not Baseline.loss or own.training_loss is not Baseline.training_loss

    def training_loss(self, batch: SliceBatch, generator: torch.Generator) -> Tensor:
        """Return the training loss, a scalar, of a batch of normal slices: `loss` of the slices, unless overridden."""
        return self.loss(batch.image, generator)

    def loss(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return the training loss, a scalar, of normal slices [B, 1, S, S] in [0, 1].

        Args:
            image: the slices.
            generator: on the CPU, source of every random draw; validation passes the same one each time.
        """
        raise NotImplementedError

    def fit(self, normals: Iterable[Tensor]) -> None:
        """Look at all training normals after the gradient steps.

        Args:
            normals: batches [B, 1, S, S]; may be gone through several times.
        """

    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the anomaly map [B, 1, S, S] >= 0, higher is worse, of slices [B, 1, S, S]."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Self:
        """Switch the trainable parts; frozen ones stay in eval mode."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def freeze(self) -> None:
        """Take the gradient from the frozen parts; called once after the method is built."""
        for name in self.frozen:
            self.get_submodule(name).requires_grad_(False).eval()

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        # Memory banks are as large as the training set made them.
        for name, buffer in self.named_buffers(recurse=False):
            saved = state_dict.get(prefix + name)
            if saved is not None and saved.shape != buffer.shape:
                setattr(self, name, torch.empty_like(saved, device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *args)
