"""What README and docs/ name exists: links, paths, commands with their settings, make targets. README stays short."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from anomask.commands.cli import VERBS
from anomask.settings.compose import CONF_FOLDER, register

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
TOLD = [page for page in PAGES if page == README or page.parent.name in ("docs", "start", "howto")]
COMMIT = re.compile(r"\b(?=\w*\d)(?=\w*[a-f])[0-9a-f]{7,}\b")
CODE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def named_as_code(text):
    return re.findall(r"`([^`\n]+)`", CODE.sub("", text))


def test_readme_is_short_and_says_first_what_it_is_and_how_to_see_it():
    text = README.read_text()
    assert len(text.split()) < 700  # a third of the 2,045 words that it once had
    assert max(map(len, text.splitlines())) <= 100
    order = ["normal slices alone", "](docs/start/demo_overlays.png)", "## Install", "make demo", "anomask fit"]
    places = [text.index(part) for part in order]
    assert places == sorted(places) and text[: places[1]].count("\n") < 12
    assert not re.search(r"\bseeds?\b", text)  # they are in docs/evidence


@pytest.mark.parametrize("term", ["anomaly map", "score", "codebook", "detector", "floor", "threshold", "transplants"])
def test_a_term_is_explained_where_readme_uses_it_first(term):
    first = re.search(rf"(\**)\b{term}\b", CODE.sub("", README.read_text()), re.IGNORECASE)
    assert first[1], first  # it stands out where it is explained


def test_readme_does_without_the_words_of_the_method():
    assert not re.search(r"\b(tokens?|salien\w+|quanti\w+)\b", CODE.sub("", README.read_text()), re.IGNORECASE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_prose_keeps_to_100_columns(page):
    prose = [line for line in CODE.sub("", page.read_text()).splitlines() if not line.startswith("|")]
    assert [line for line in prose if len(line) > 100] == []


@pytest.mark.parametrize("page", TOLD, ids=lambda page: page.name)
def test_no_commit_where_a_newcomer_reads(page):
    assert COMMIT.findall(page.read_text()) == []  # they are in docs/evidence


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_exist(page):
    text = page.read_text()
    links = re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    folders = r"(?:src|conf|docs|benchmarks|notebooks|tests|results)/[\w./-]*$"
    paths = [code for code in named_as_code(text) if re.match(folders, code)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_page_is_linked_from_readme_or_from_the_site():
    named = (ROOT / "mkdocs.yml").read_text()
    assert [page for page in PAGES[1:] if str(page.relative_to(ROOT / "docs")) not in named] == []


def commands():
    """Every `anomask <verb> ...` of the code blocks with its page, placeholders filled in."""
    for page in PAGES:
        for language, block in CODE.findall(page.read_text()):
            for line in block.splitlines() if not language else ():
                words = shlex.split(re.sub(r"<[^>]*>", "some", line), comments=True)
                if words and words[0].endswith("anomask"):
                    yield page.name, words[1], words[2:]


@cache
def keys_of(verb):
    register()
    brings_keys = ["experiment=detector", "logger=wandb", "baseline=padim"] if verb == "train" else []
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        return OmegaConf.to_container(compose(verb, overrides=brings_keys), resolve=False)


def is_known(verb, setting):
    """Say whether a setting is a choice or a key that its command has."""
    name, _, value = setting.lstrip("+").partition("=")
    held = keys_of(verb)
    if (CONF_FOLDER / name).is_dir() and isinstance(held.get(name, {}), dict):
        return value == "null" or all(list((CONF_FOLDER / name).glob(f"{one}.yaml")) for one in value.split(","))
    parts = name.split(".")
    for part in parts[:1] if setting.startswith("+") else parts:  # what is added is below a key that is there
        if not isinstance(held, dict) or part not in held:
            return False
        held = held[part]
    return True


def test_commands_and_their_settings_exist():
    found, wrong = 0, []
    for page, verb, arguments in commands():
        found += 1
        if verb not in VERBS and verb not in ("--help", "some"):
            wrong.append((page, verb))
        elif verb in VERBS and "--config-dir" not in arguments:
            settings = [argument for argument in arguments if not argument.startswith(("hydra", "-"))]
            wrong += [(page, verb, one) for one in settings if not is_known(verb, one)]
    assert found > 40
    assert wrong == []


def test_choices_and_keys_named_in_passing_exist():
    found = [
        (page.name, setting)
        for page in PAGES
        for setting in re.findall(r"`([+]?[a-z][\w.]*=[^`\s<]+)[^`\n]*`", CODE.sub("", page.read_text()))
    ]
    assert len(found) > 40
    assert [each for each in found if not any(is_known(verb, each[1]) for verb in VERBS)] == []


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = {name for names in re.findall(r"^([a-z0-9 -]+):", makefile, re.MULTILINE) for name in names.split()}
    tables = re.search(r"^TABLES := (.*)$", makefile, re.MULTILINE)[1].split()
    for page in PAGES:
        text = page.read_text()
        code = [block for _, block in CODE.findall(text)] + named_as_code(text)
        named = {name for part in code for name in re.findall(r"^make ([a-z0-9-]+)", part, re.MULTILINE)}
        assert named <= targets | set(tables), (page.name, named - targets)


def test_the_example_of_own_settings_composes(tmp_path):
    page = (ROOT / "docs/howto/own_settings.md").read_text()
    blocks = [block for language, block in CODE.findall(page) if language == "yaml"]
    for block in blocks:
        file = tmp_path / re.search(r"# my_conf/(\S+\.yaml)", block)[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block)
    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        found = compose("train", overrides=[f"hydra.searchpath=[file://{tmp_path}]", "experiment=ours_long"])
    assert (found.name, found.data.folder, found.trainer.max_steps) == ("ours_long", "data/ours", 2000)
    assert found.stage.name == "detector"


def test_the_page_of_data_sets_names_all_of_them():
    page = (ROOT / "docs/reference/data.md").read_text()
    names = {path.stem for group in ("data", "recipe") for path in (CONF_FOLDER / group).glob("*.yaml")} - {"folder"}
    assert len(names) > 10 and {name for name in names if f"`{name}`" not in page and f"={name}`" not in page} == set()
    assert "ANOMASK_DATA" in page and "not verified again" in page
