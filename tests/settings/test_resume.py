"""What may be changed beside resume= acts; everything else is refused by its name."""

import pytest

from anomask.errors import ConfigError
from anomask.settings.resume import callbacks_typed, parse, resumed
from tests.conftest import TINY, settings_of


@pytest.fixture(scope="module")
def saved():
    """Settings of a detector run, as its folder has them."""
    places = ["paths.data=/old/data", "paths.runs=/old/runs", "paths.cache=/old/cache", "run=/old/runs/x/1"]
    given = [*TINY, "data.folder=/old/data/ours", "stage=detector", "codebook_run=cb"]
    return settings_of(*given, *places)


def changes(saved, *texts):
    """Return dotted names and values of what overrides have changed."""

    def leaves(node, above=""):
        for key, value in node.items():
            yield from leaves(value, f"{above}{key}.") if isinstance(value, dict) else [(f"{above}{key}", value)]

    before, after = dict(leaves(saved)), dict(leaves(resumed(saved, parse(texts))))
    return {name: after.get(name) for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_nothing_changes_nothing(saved):
    assert changes(saved) == {}


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("trainer.max_steps=10", "trainer.max_steps", 10),
        ("trainer.max_epochs=2", "trainer.max_epochs", 2),
        ("+trainer.max_time=00:01:00:00", "trainer.max_time", "00:01:00:00"),
        ("data.folder=/new/place", "data.folder", "/new/place"),
        ("data.folder='/new (2)/place'", "data.folder", "/new (2)/place"),
        ("codebook_run=/new/cb", "codebook_run", "/new/cb"),
        ("scoring.specificity=0.5", "scoring.specificity", 0.5),
        ("logger.flush=1", "logger.flush", 1),  # whether the logger knows it is seen when it is built
        ("callbacks.pictures.n_slices=2", "callbacks.pictures.n_slices", 2),
        ("verify=false", "verify", False),
    ],
)
def test_what_may_be_changed_acts(saved, text, name, value):
    assert changes(saved, text) == {name: value}


def test_a_moved_place_takes_what_lies_there_with_it(saved):
    assert changes(saved, "paths.data=/new") == {"paths.data": "/new", "data.folder": "/new/ours"}
    found = changes(saved, "paths.cache=/new")
    assert found == {"paths.cache": "/new", "data.cache_folder": "/new/slices"}


def test_another_logger_is_composed_as_for_a_new_run(saved):
    logger = resumed(saved, parse(["logger=wandb", "logger.project=ours"]))["logger"]
    assert logger["_target_"].endswith("TrainingLogger") and logger["project"] == "ours"
    assert logger["group"] == saved["name"] and logger["job_type"] == "detector"


def test_callbacks_come_and_go(saved):
    added = parse(["+callbacks.stop._target_=own.Stop", "+callbacks.stop.after=3", "~callbacks.pictures"])
    found = resumed(saved, added)["callbacks"]
    assert found["stop"] == {"_target_": "own.Stop", "after": 3} and "pictures" not in found
    assert callbacks_typed(added) == {"stop": {"_target_": "own.Stop", "after": 3}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed=77", r"seed cannot be changed when a run goes on \(it is 0 there\)"),
        ("model.width=3", "model.width cannot be changed"),
        ("experiment=detector", "experiment cannot be changed"),
        ("trainer.precision=bf16-mixed", "trainer.precision cannot be changed"),
        ("callbacks.best.monitor=x", "callbacks.best.monitor cannot be changed"),
        ("~callbacks.last", "callbacks.last cannot be changed"),
        ("data.foldr=x", "data.foldr cannot be changed"),
        ("paths.dat=x", "the run has no setting paths.dat"),
        ("trainer.max_steps=ten", "trainer.max_steps is 'ten'; wanted is a whole number"),
        ("trainer.max_steps=5,6", "several values"),
        ("logger=wanb", "wanb"),
        ("data.folder=a(b", "quotes"),
    ],
)
def test_everything_else_is_refused_by_name(saved, text, said):
    with pytest.raises(ConfigError, match=said):
        changes(saved, text)


def test_the_command_line_of_before_may_be_given_again(saved):
    assert changes(saved, "seed=0", "model.width=16", "data.folder=/old/data/ours") == {}
