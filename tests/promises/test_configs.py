"""Every file in conf/ composes; every class it names takes the keys it gives; typos are errors."""

import inspect
from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException
from hydra.utils import get_object

from anomask.settings.compose import CONF_FOLDER
from anomask.settings.hints import check_types
from anomask.settings.schema import Config
from tests.conftest import settings_of

ENTRIES = (
    "train",
    "fit",
    "evaluate",
    "compare",
    "tables",
    "sweep",
    "reproduce",
    "transplant",
    "prepare",
    "pool",
    "predict",
    "export",
    "describe",
    "verify",
    "external",
)
# test_ablations.py, test_tables.py, test_tables.py, test_recipes.py, test_anomalib.py
ELSEWHERE = ("ablation", "paper_table", "methods", "recipe", "anomalib")
EXPERIMENTS = sorted(path.stem for path in (CONF_FOLDER / "experiment").glob("*.yaml"))
GROUPS = sorted(
    (str(path.parent.relative_to(CONF_FOLDER)), path.stem)
    for path in CONF_FOLDER.rglob("*.yaml")
    if path.parent not in (CONF_FOLDER, *(CONF_FOLDER / name for name in ("experiment", *ELSEWHERE)))
)


def targets(node):
    if isinstance(node, dict):
        if "_target_" in node:
            yield node
        for value in node.values():
            yield from targets(value)


def check_targets(settings, schema=Config):
    """Every sibling key of a `_target_` is a parameter of it."""
    check_types(settings, schema)
    found = list(targets(settings))
    for node in found:
        accepted = inspect.signature(get_object(node["_target_"])).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
        given = {key for key in node if key not in ("_target_", "_partial_")}
        assert takes_any or given <= accepted.keys(), f"{node['_target_']}: {given - accepted.keys()}"
    return found


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_names_no_hardware(experiment):
    assert check_targets(settings_of(f"experiment={experiment}"))
    text = (CONF_FOLDER / "experiment" / f"{experiment}.yaml").read_text()
    assert not any(word in text for word in ("accelerator", "devices", "num_nodes", "override /device"))


@pytest.mark.parametrize(("group", "name"), GROUPS)
def test_every_group_file_composes(group, name):
    extra = {("data", name): ["data.folder=somewhere"] for name in ("folder", "pooled")}
    extra[("synthesiser/draw", "release")] = ["synthesiser=release"]
    assert check_targets(settings_of(*extra.get((group, name), []), f"{group}={name}"))


def test_a_typo_is_an_error():
    with pytest.raises(ConfigCompositionException):
        settings_of("experiment=demo_codebook", "modl.width=3")
    with pytest.raises(ConfigCompositionException):
        settings_of("stage.moniter=val/loss")


def test_experiments_are_flat():
    """A glob over a nested folder launches no job and exits 0."""
    assert not [path for path in (CONF_FOLDER / "experiment").iterdir() if path.is_dir()]


def test_every_file_of_conf_is_reached_by_these_tests():
    reached = {f"{group}/{name}.yaml" for group, name in GROUPS} | {f"experiment/{name}.yaml" for name in EXPERIMENTS}
    files = [path for path in Path(CONF_FOLDER).rglob("*.yaml") if path.parent.name not in ELSEWHERE]
    present = {str(path.relative_to(CONF_FOLDER)) for path in files}
    assert present - reached == {f"{entry}.yaml" for entry in ENTRIES}
