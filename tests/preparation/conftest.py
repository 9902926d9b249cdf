"""Preparing in this process, with the settings a user would give."""

import pytest
from hydra import compose, initialize_config_dir

from anomask.preparation.prepare import prepare
from anomask.settings.compose import CONF_FOLDER, plain, register


def settings_of(*overrides):
    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        return plain(compose("prepare", overrides=list(overrides)))


@pytest.fixture
def run(tmp_path):
    """Prepare tmp_path/in (or another folder) into tmp_path/out in this process: run("split=train", ...)."""

    def go(*overrides, source="in", output="out"):
        fixed = [f"input={tmp_path / source}", f"output={tmp_path / output}", f"key_file={tmp_path / 'key'}"]
        return prepare(settings_of(*fixed, "workers=1", "progress=false", *overrides))

    return go
