"""What the project says of itself beside README: paths exist, the citation is of this version, CI runs the linter."""

import re
from pathlib import Path

import pytest
import yaml

import anomask

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_paths_and_make_targets_exist(page):
    text = (ROOT / page).read_text()
    named = re.findall(r"`((?:src|conf|docs|tests|benchmarks)/[\w./-]+|pyproject\.toml)`", text)
    assert named and [path for path in named if not (ROOT / path).exists()] == []
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"\bmake ([a-z0-9-]+)\b(?= |`|\n)", text)
    assert [
        target for target in targets if not re.search(rf"^[a-z0-9 -]*\b{target}\b[a-z0-9 -]*:", makefile, re.M)
    ] == []


def test_the_citation_is_of_this_version_and_of_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == anomask.__version__ and citation["license"] == "MIT"
    (paper,) = citation["references"]
    assert paper["doi"] == "10.1016/j.media.2025.103523" and len(paper["authors"]) == 10
    assert f"doi.org/{paper['doi']}" in (ROOT / "README.md").read_text()


def test_ci_runs_the_linter():
    assert re.search(r"^make lint$", (ROOT / ".ci/run").read_text(), re.M)


def test_every_package_has_a_line_with_its_licence():
    pinned = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)
    listed = re.findall(r"^\| ([\w.-]+) \| (\S+) \| (.+) \|$", (ROOT / "THIRD_PARTY.md").read_text(), re.M)
    assert [row[:2] for row in listed if row[0] != "Package"] == pinned  # written anew with: make licences
    assert all(row[2].strip() for row in listed)


def test_every_package_but_torch_has_a_digest():
    def packages(file):
        found = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / file).read_text(), re.M)
        return {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in found}

    pinned = {one for one in packages("constraints.txt") if one[0] != "torch"}
    assert packages("constraints-hashed.txt") == pinned  # written anew with: make hashes
    lines = [line for line in (ROOT / "constraints-hashed.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
