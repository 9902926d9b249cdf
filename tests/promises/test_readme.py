"""The paths, experiments and options that README names exist."""

import re
from pathlib import Path

from anomask.settings.compose import CONF_FOLDER

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_it_is_short_and_says_both_commands_first():
    lines = README.splitlines()
    assert len(lines) < 200
    assert any("make demo" in line for line in lines[:30]) and any("make test" in line for line in lines[:30])


def test_paths_exist():
    named = set(re.findall(r"`((?:src|conf|docs|benchmarks|notebooks|tests)/[\w./-]*)`", README))
    named |= set(re.findall(r"\]\(((?!http)[^)]+)\)", README))
    assert len(named) > 8
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_group_choices_and_make_targets_exist():
    for group, name in re.findall(r"\b(experiment|device|logger|data|stage)=(\w+)", README):
        assert (CONF_FOLDER / group / f"{name}.yaml").is_file(), (group, name)
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z0-9-]+)(?![a-z0-9/-])", README):
        assert re.search(rf"^([a-z0-9-]+ )*{target}( [a-z0-9-]+)*:", makefile, re.MULTILINE), target
