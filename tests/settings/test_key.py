"""Two runs are the same job if nothing differs between them but a named few harmless settings."""

import pytest

from anomask.settings.key import differing, moved, settings_key

SETTINGS = {
    "name": "toy",
    "run": "/runs/toy/one",
    "seed": 0,
    "stage": {"name": "detector", "monitor": "val/loss"},
    "data": {"_target_": "anomask.data.loading.datamodule.SliceDataModule", "folder": "toy", "cache": "memory"},
    "trainer": {"max_steps": 4, "precision": "32-true", "log_every_n_steps": 20},
    "callbacks": {
        "best": {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "monitor": "val/loss"},
        "stop": {"_target_": "pytorch_lightning.callbacks.EarlyStopping", "patience": 3, "note": "/runs/toy/one/stop"},
    },
    "logger": {"_target_": "pytorch_lightning.loggers.CSVLogger"},
    "paths": {"runs": "/runs"},
}


def changed(place, value):
    """Return the settings with another value at a dotted place."""
    first, _, rest = place.partition(".")
    if not rest:
        return SETTINGS | {first: value}
    inner, _, last = rest.partition(".")
    part = SETTINGS[first]
    return SETTINGS | {first: part | ({inner: part.get(inner, {}) | {last: value}} if last else {inner: value})}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("seed", 1),
        ("callbacks.stop.patience", 5),
        ("callbacks.best.monitor", "val/other"),
        ("callbacks.extra.x", 1),
        ("trainer.precision", "bf16-mixed"),
        ("trainer.unheard_of", 1),
        ("data.folder", "other"),
        ("something_new", 1),
    ],
)
def test_everything_counts(place, value):
    assert settings_key(changed(place, value)) != settings_key(SETTINGS)
    assert differing(SETTINGS, changed(place, value)) == [place]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("run", "/elsewhere/two"),
        ("resume", "x"),
        ("sweep", "s"),
        ("verify", False),
        ("logger.name", "x"),
        ("paths.runs", "/other"),
        ("callbacks.pictures.n_slices", 3),
        ("callbacks.best.dirpath", "/runs/toy/one/checkpoints"),
        ("trainer.log_every_n_steps", 1),
        ("data.cache", "disk"),
        ("data.num_workers", 2),
        ("data._target_", "anomask.data.datamodule.SliceDataModule"),
    ],
)
def test_but_what_is_harmless(place, value):
    settings = changed(place, value)
    if place == "run":
        settings["callbacks"] = moved(settings["callbacks"], SETTINGS["run"], value)
    assert settings_key(settings) == settings_key(SETTINGS)
    assert differing(SETTINGS, settings) == []


def test_paths_move_with_their_folder_alone():
    paths = {"a": "/runs/x/file", "b": ["/runs/x"], "c": "/runs/xy", "d": 3, "e": "see /runs/x"}
    found = {"a": "/new/file", "b": ["/new"], "c": "/runs/xy", "d": 3, "e": "see /runs/x"}
    assert moved(paths, "/runs/x", "/new") == moved(paths, "/runs/x/", "/new") == found
    assert moved(paths, "", "/new") == paths
