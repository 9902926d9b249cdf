"""Paths, names and patterns arrive as typed; numbers, lists, sweeps, groups and interpolations stay Hydra's."""

import pytest

from anomask.console.known import Known
from anomask.console.typed import as_typed, read
from anomask.errors import ConfigError

ODD = [
    "a, b (1)/x=1",
    "{folder}/{stem}_mask.nii*",
    "1e3",
    "nan",
    "true",
    "[a]",
    "ü 'x' \"y\"",
    "O'Brien",
    r"C:\new\'",
    "x'",
]
ODD += [".5", "NaN", "True", "inf", "0x1", "1_000", "./1", "_1", "a-b/c.d", "../x", "~"]
ODD += [r"(case\d+)", "a:b;c", "$HOME", "~/x", "#1", " lead and trail ", "100%", "a\\", "*"]


KEYS = ("input", "output", "source", "pattern", "disease", "patient", "mask", "lung_mask", "nodules", "table")


@pytest.mark.parametrize("first", range(0, len(ODD), len(KEYS)))
def test_text_arrives_as_typed(first):
    typed = dict(zip(KEYS, (ODD * 2)[first:], strict=False))
    config = Known("prepare", [as_typed("prepare", f"{key}={text}") for key, text in typed.items()]).composed()
    assert {key: config[key] for key in typed} == typed


@pytest.mark.parametrize(
    ("verb", "key"),
    [
        ("train", "name"),
        ("train", "codebook_run"),
        ("train", "resume"),
        ("train", "paths.runs"),
        ("train", "data.folder"),
        ("train", "data.cache_folder"),
        ("train", "model.encoder.weights"),  # null in conf/: the class says that it is text
        ("train", "hydra.run.dir"),
        ("train", "hydra.sweeper.file"),
        ("verify", "folder"),
        ("verify", "data.folder"),
        ("predict", "output"),
        ("evaluate", "run"),
        ("compare", "second"),
        ("transplant", "hosts"),
        ("reproduce", "launch"),
        ("tables", "records"),
    ],
)
def test_keys_of_text_are_known_from_schemas_and_conf(verb, key):
    assert as_typed(verb, f"{key}=a, (b)") == f"{key}='a, (b)'"
    assert as_typed(verb, f"++{key}=a=b") == f"++{key}='a=b'"


@pytest.mark.parametrize(
    ("verb", "override"),
    [
        ("train", "seed=1"),
        ("train", "name=ours_2"),  # text that Hydra reads as it is: hints of what comes next repeat it
        ("train", "data.folder=../data/ours-2/x.png"),
        ("train", "data.size=64"),
        ("train", "data.seed=3"),  # ${seed} in conf/
        ("train", "data=folder"),
        ("train", "synthesiser/draw=own"),
        ("train", "codebook_run=null"),
        ("train", "~callbacks.progress"),
        ("train", "model.encoder.channels=[8,16]"),
        ("train", "trainer.val_check_interval=0.5"),
        ("prepare", "window=[-1000,400]"),
        ("prepare", "disease="),
        ("prepare", "patient='(case)'"),  # quoted for Hydra already
        ("tables", "rows=[a,b]"),
        ("train", "nosuch=(("),
    ],
)
def test_the_rest_is_hydras(verb, override):
    assert as_typed(verb, override) == override


def test_interpolations_stay():
    override = as_typed("transplant", "hosts=${paths.data}/a, b")
    assert Known("transplant", ["paths.data=/d", override]).composed().hosts == "/d/a, b"


def test_with_m_a_comma_separates_values():
    assert as_typed("evaluate", "run=a,b", sweep=True) == "run=a,b"
    assert as_typed("evaluate", "run='a, b'", sweep=True) == "run='a, b'"
    assert as_typed("evaluate", "run=glob(a*)", sweep=True) == "run=glob(a*)"
    assert as_typed("evaluate", "run=1e3", sweep=True) == "run='1e3'"
    assert as_typed("train", "hydra.sweep.dir=a,b", sweep=True) == "hydra.sweep.dir='a,b'"
    typed = read("evaluate", ["run=a,b", "--multirun", "name=1e3"])  # options anywhere
    assert typed.options == ["--multirun"] and typed.overrides == ["run=a,b", "name='1e3'"] and not typed.plain


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mutlirun"], "did you mean --multirun?"),
        (["-z"], "-z"),
        (["--cfg", "jb"], "invalid choice: 'jb'"),
        (["--config-dir", "nowhere"], "--config-dir nowhere: no such folder"),
    ],
)
def test_an_unknown_option_is_an_error(arguments, said):
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        read("train", [*arguments, "seed=1"])
