"""What a saved run may name: this package's own classes and a short list, and nothing that runs other code."""

import copy
import logging

import pytest
import yaml

from anomask.errors import RunError
from anomask.settings.compose import CONF_FOLDER
from anomask.settings.targets import RENAMED, allowed, checked

HOSTILE = [
    "os.system",
    "builtins.eval",
    "subprocess.run",
    "torch.load",
    "torch.hub.load",
    "pathlib.Path.write_text",
    "monai.bundle.ConfigExpression.evaluate",
    "monai.transforms.RandLambdad",
    "hydra.utils.instantiate",
    "anomask.files.write_text",
    "anomask.files.os.system",
    "anomask.models.encoder.torch.load",
    "anomask.models.encoder.Path",
    "anomask.models.encoder.PatchEncoder._load",
    "anomask.baselines.imagenet._existing",
    "anomask.data.phantom.dataset.write_phantom",
    "anomask.tracking.client.start",
    "anomask.scoring.nowhere.Nothing",
    "anomask.scoring",
    "anomask..models.encoder.PatchEncoder",
    "",
    None,
    ["os.system"],
]


@pytest.mark.parametrize("target", HOSTILE, ids=str)
def test_a_saved_run_may_not_name(target, monkeypatch):
    monkeypatch.delenv("ANOMASK_TRUST", raising=False)
    assert not allowed(target)
    for nested in (
        {"_target_": target},
        [{"x": [{"_target_": target, "_partial_": True}]}],
        {"a": {"_target_": target}},
    ):
        settings = {"stage": {"optimisation": nested}, "callbacks": {}}
        before = copy.deepcopy(settings)
        with pytest.raises(RunError, match=r"checkpoint names stage\.optimisation.*could run any code"):
            checked(settings, "the checkpoint")
        assert settings == before


def named_in_conf(node):
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from named_in_conf(value)
    if isinstance(node, dict) and "_target_" in node:
        yield node["_target_"]


def test_everything_that_conf_names_is_allowed():
    files = [file for file in CONF_FOLDER.rglob("*.yaml") if "hydra" not in file.parts]
    for file in files:
        settings = yaml.safe_load(file.read_text()) or {}
        settings.pop("hydra", None)
        for target in named_in_conf(settings):
            assert allowed(target), f"{file.name}: {target}"
    assert all(map(allowed, RENAMED.values()))


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "${oc.create:'{_target_: os.system, command: id}'}", "a${b}c"])
def test_a_reference_that_would_be_resolved_later_is_refused(text):
    for settings in ({"model": {"encoder": text}}, {"model": [text]}, {"model": {text: 1}}):
        with pytest.raises(RunError, match="wanted are plain values"):
            checked(settings, "config.yaml")


def test_a_foreign_callback_is_left_out_with_a_warning_unless_it_is_trusted(monkeypatch, caplog):
    stop = {"_target_": "pytorch_lightning.callbacks.EarlyStopping", "monitor": "val/loss", "patience": 3}
    settings = {"callbacks": {"stop": stop, "kill": {"_target_": "killer.Kill"}}}
    with caplog.at_level(logging.WARNING):
        assert checked(settings, "config.yaml")["callbacks"] == {"stop": stop}
    assert "callbacks.kill of config.yaml is left out: it names killer.Kill" in caplog.text
    assert "ANOMASK_TRUST=killer" in caplog.text
    for trust in ("killer", "other, killer.Kill"):
        monkeypatch.setenv("ANOMASK_TRUST", trust)
        assert checked(settings, "config.yaml") == settings
    monkeypatch.setenv("ANOMASK_TRUST", "kill")
    assert "kill" not in checked(settings, "config.yaml")["callbacks"]
    again = {"kill": {"_target_": "killer.Kill"}}
    assert checked(settings, "config.yaml", typed=again)["callbacks"] == {"stop": stop} | again


def test_classes_have_the_names_of_today():
    old = {"data": {"_target_": "anomask.data.datamodule.SliceDataModule", "size": 32}}
    assert checked(old, "config.yaml")["data"]["_target_"] == "anomask.data.loading.datamodule.SliceDataModule"
