"""Write THIRD_PARTY.md: the licence of every package that the project is tested with. Run by `make licences`."""

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = """# Packages of others and their licences

What `constraints.txt` names, by the packages' own metadata; written by `make licences`. None of their code is part of
this repository. "not stated": the package's metadata names no licence; ask its authors before you pass it on.

| Package | Version | Licence |
|---|---|---|
"""
LONGEST = 60  # some packages put the whole text where its name belongs


def licence_of(name: str) -> str:
    """Return the licence of an installed package: its SPDX expression, else its classifiers, else what it says."""
    about = distribution(name).metadata
    if expression := about.get("License-Expression"):
        return expression
    classifiers = [
        line.rsplit(" :: ", 1)[1] for line in about.get_all("Classifier", []) if line.startswith("License ::")
    ]
    if classifiers := [one for one in classifiers if one != "OSI Approved"]:
        return ", ".join(classifiers)
    said = (about.get("License") or "").strip().partition("\n")[0][:LONGEST].replace("|", "/")
    return said if said not in ("", "UNKNOWN") else "not stated"


def main() -> None:
    """Write the file."""
    rows = []
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.M):
        try:
            rows.append(f"| {name} | {version} | {licence_of(name)} |\n")
        except PackageNotFoundError:
            rows.append(f"| {name} | {version} | not installed where this was written |\n")
    (ROOT / "THIRD_PARTY.md").write_text(HEAD + "".join(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
