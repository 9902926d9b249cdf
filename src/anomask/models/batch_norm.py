"""Batch norm over the joint batch of all processes, on any device."""

import torch
from torch import Tensor, nn

from anomask.models.distributed import SumWithGradient, is_distributed


class JointBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose statistics in training are those of all processes' batches together.

    torch's `SyncBatchNorm` does the same on GPUs and refuses a CPU. State dict, evaluation, and training in one process
    are those of `nn.BatchNorm2d`.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Normalise [B, C, H, W]."""
        if not self.training or not is_distributed():
            return super().forward(features)
        values = features.float()  # half precision sums nothing
        count = SumWithGradient.apply(values.new_tensor(float(values[:, 0].numel())))
        mean = SumWithGradient.apply(values.sum((0, 2, 3))) / count
        centred = values - mean[:, None, None]
        variance = SumWithGradient.apply(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(features.dtype)


def replace_batch_norm(module: nn.Module, old: type[nn.BatchNorm2d], new: type[nn.BatchNorm2d]) -> nn.Module:
    """Replace every batch norm of the type `old` inside `module` by one of the type `new` with the same state."""
    for name, child in module.named_children():
        if type(child) is old:
            other = new(child.num_features, child.eps, child.momentum)
            other.__dict__.update(child.__dict__)  # the very same parameters and buffers, and training or not
            setattr(module, name, other)
        else:
            replace_batch_norm(child, old, new)
    return module
