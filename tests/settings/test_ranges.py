"""Numbers with which nothing can be made or learned are refused by name, before anything is made."""

import math
from fnmatch import fnmatch

import pytest

from anomask.errors import ConfigError
from anomask.settings.ranges import RANGES, check_ranges
from tests.conftest import TINY, settings_of


def of(key, value):
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("data.batch_size", 0, "1 or more"),
        ("data.batch_size", -8, "1 or more"),
        ("data.size", 0, "1 or more, 4096 at most"),
        ("data.size", 100_000, "1 or more, 4096 at most"),
        ("data.num_workers", -1, "0 or more"),
        ("seed", -1, "0 or more, 4294967295 at most"),
        ("seed", 2**32, "0 or more, 4294967295 at most"),
        ("trainer.max_steps", -5, "-1 or more"),
        ("trainer.max_epochs", -2, "-1 or more"),
        ("trainer.val_check_interval", 0, "more than 0"),
        ("trainer.accumulate_grad_batches", 0, "1 or more"),
        ("trainer.devices", -1, "1 or more"),
        ("trainer.gradient_clip_val", -1.0, "0 or more"),
        ("model.width", 0, "1 or more"),
        ("model.encoder.blocks", -1, "0 or more"),
        ("model.encoder.channels", [48, 0], "1 or more"),
        ("model.quantiser.n_codes", 0, "1 or more"),
        ("stage.optimisation.optimiser.lr", 0.0, "more than 0"),
        ("stage.optimisation.optimiser.lr", math.nan, "more than 0"),
        ("synthesiser.painter.nodule_share", 7, "0 or more, 1 at most"),
        ("synthesiser.painter.coverage", [0.02, 60], "0 or more, 1 at most"),
        ("synthesiser.painter.radius_px", [0.0], "more than 0"),
        ("synthesiser.painter.most_nodules", 0, "1 or more"),
        ("synthesiser.share", -0.1, "more than 0, 1 at most"),
        ("scoring.image_score.share", 2, "more than 0, 1 at most"),
        ("scoring.anomaly_map.probability_sigma", -1.5, "0 or more"),
        ("scoring.anomaly_map.residual_limit", -0.1, "more than 0"),
        ("batch_size", 0, "1 or more"),
        ("bootstrap", -1, "0 or more"),
        ("seeds", 0, "1 or more"),
        ("workers", 0, "1 or more"),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(key, value, wanted):
    bad = value[-1] if isinstance(value, list) else value
    with pytest.raises(ConfigError, match=f"^{key}: got {bad}, wanted {wanted}"):
        check_ranges(of(key, value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 2**32 - 1),
        ("data.size", 1),
        ("trainer.max_steps", -1),
        ("trainer.val_check_interval", 0.25),
        ("trainer.devices", None),
        ("limit", None),
        ("scoring.specificity", -1),  # of another check
        ("model.refiner.channels", []),
        ("verify", False),
    ],
)
def test_others_are_let_through(key, value):
    check_ranges(of(key, value))


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/../../b", "/tmp/x", "sweeps", "sweeps/a", "best.ckpt"])
def test_a_name_that_leaves_its_folder_or_cannot_be_found_again(name):
    with pytest.raises(ConfigError, match=f"^name: got '{name}', wanted the name of a folder"):
        check_ranges({"name": name})


@pytest.mark.parametrize("name", ["1e3", "a/b", "Lunge (ä) = x, y", "latest..", ".a", None])
def test_other_names_are_let_through(name):
    check_ranges({"name": name})


def test_what_is_in_conf_is_in_range_and_every_range_is_of_a_setting():
    settings = settings_of(*TINY, "data.folder=x")
    check_ranges(settings)
    model = {
        f"model.{part}.{name}" for part, node in settings["model"].items() if isinstance(node, dict) for name in node
    }
    for pattern in (one for one in RANGES if one.startswith("model.") and one != "model.*width"):
        assert any(fnmatch(name, pattern) for name in model), pattern
