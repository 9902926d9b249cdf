"""Batch norm over the joint batch as a plugin of the Trainer, for processes without GPUs (conf/device/ddp_cpu2)."""

from pytorch_lightning.plugins.layer_sync import LayerSync
from torch import nn

from anomask.models.batch_norm import JointBatchNorm2d, replace_batch_norm


class JointBatchNorm(LayerSync):
    """What ``sync_batchnorm: true`` is on GPUs, with a batch norm that also runs on a CPU."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Put batch norms over all processes in place of local ones."""
        return replace_batch_norm(model, nn.BatchNorm2d, JointBatchNorm2d)

    def revert(self, model: nn.Module) -> nn.Module:
        """Put local batch norms back."""
        return replace_batch_norm(model, JointBatchNorm2d, nn.BatchNorm2d)
