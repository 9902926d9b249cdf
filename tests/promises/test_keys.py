"""Every top-level key of every command can be set on its command line."""

import logging

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from anomask.settings.compose import CONF_FOLDER, SCHEMAS
from tests.promises.test_configs import ENTRIES
from tests.promises.test_entries import call_here

GROUPS = {path.name for path in CONF_FOLDER.iterdir() if path.is_dir()}
PARTS = ("groups", "donors", "folders", "scales", "strengths", "rows")  # lists and mappings, whose parts are set


def assignments(entry):
    """Yield key=value for every key of a command: its own value in conf, or x where it has none."""
    own = OmegaConf.to_container(OmegaConf.load(CONF_FOLDER / f"{entry}.yaml"), resolve=False)
    chosen = {name: choice for item in own["defaults"] if isinstance(item, dict) for name, choice in item.items()}
    for key in SCHEMAS["schema" if entry == "train" else f"{entry}_schema"].__dataclass_fields__:
        value = chosen.get(key, own.get(key))
        if key in PARTS or (key in GROUPS and key not in own and not chosen.get(key)):
            continue
        if entry == "fit" and key not in own and key not in chosen:
            continue  # training's, which it includes
        plain = isinstance(value, bool | int | float) or (isinstance(value, str) and value.isalnum())
        text = str(value).lower() if isinstance(value, bool) else str(value)
        yield f"{key}={text if plain else 'null' if value is None else 'x'}"


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_key_of_a_command_can_be_set(entry, monkeypatch, capsys):
    given = list(assignments(entry))
    try:
        assert call_here(entry, "--cfg", "job", *given, monkeypatch=monkeypatch) == 0, (given, capsys.readouterr())
    finally:
        HydraConfig.instance().cfg = None
        GlobalHydra.instance().clear()
        logging.getLogger().handlers.clear()
    found = OmegaConf.create(capsys.readouterr().out)
    for key, _, value in (text.partition("=") for text in given):
        if isinstance(found[key], str | int | float | None):
            assert value in (str(found[key]).lower(), str(found[key]), "null"), key
    if entry in ("evaluate", "predict"):
        assert "device" in GROUPS and found.device == "cpu"
