"""Help of every command: each of its keys with default and comment, its groups and no others."""

import pytest
from omegaconf import OmegaConf

from anomask.commands.cli import VERBS
from anomask.console.known import Known
from anomask.console.usage import usage
from anomask.settings.compose import CONF_FOLDER


def leaves(node, prefix=""):
    for name, value in node.items():
        if isinstance(value, dict) and value and "_args_" not in value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_key_and_group_of_a_command_is_there(verb):
    known = Known(verb)
    text, keys = usage(known), known.keys()
    composed = set(leaves(OmegaConf.to_container(known.composed())))
    flow = {key for key in composed if any(key.startswith(f"{path}.") for path in keys)}  # {faint: 0.5} is one value
    only_in_schema = {key for key in composed if key.endswith((".target", ".codebook", ".title"))}
    if verb == "fit":  # its default is a model that has no such parts
        only_in_schema |= {key for key in composed if key.startswith("model.")}
    assert (
        composed - flow - only_in_schema - known.choices().keys()
        <= keys.keys()
        <= composed | {key.rpartition(".")[0] for key in flow}
    )
    for path, key in keys.items():
        assert f"  {path}=" in text and key.comment.split(" ")[0] in text
    shown = text.split("of conf/<group>\n")[-1].split("Keys:")[0] if "Groups:" in text else ""
    groups = {str(path.parent.relative_to(CONF_FOLDER)) for path in CONF_FOLDER.rglob("*/*.yaml")}
    named = {line.split("=")[0].strip(" +") for line in shown.splitlines() if "=" in line and line[2:3] != " "}
    assert named <= groups
    expected = {
        "tables": {"methods", "paper_table"},
        "verify": {"data", "paths", "scoring"},
        "prepare": {"recipe"},
        "evaluate": set(),
    }
    assert named == expected.get(verb, named)


def test_defaults_and_comments_are_those_of_conf_after_what_was_asked_for():
    keys = Known("train", ["experiment=detector", "seed=3"]).keys()
    assert keys["data.size"].default == "128" and keys["data.size"].comment == "S; slices are resized to it"
    assert keys["seed"].default == "3" and keys["trainer.max_steps"].default == "1000"
    assert keys["synthesiser.draw.rank_min"].default == "0.05"  # synthesiser/default's, not draw/coherent's 0.0
    assert keys["scoring.crops._target_"].comment.startswith("multi-crop detection")
    assert "scoring.crops" not in keys and Known("train").keys()["scoring.crops"].default == "null"
    assert (
        Known("prepare").keys()["groups"].heading == "What is known about the input; a recipe's groups override these."
    )


def test_a_file_of_the_users_own_folder_counts(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/ours.yaml").write_text("# @package _global_\n# Our own.\nseed: 7 # a lucky one\n")
    known = Known("train", ["experiment=ours"], str(tmp_path))
    assert "ours" in known.options("experiment") and known.composed().seed == 7
    assert "conf/experiment/ours.yaml: Our own." in usage(known)
    assert known.keys()["seed"] == ("seed", "7", "a lucky one", "")
