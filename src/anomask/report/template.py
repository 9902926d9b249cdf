"""Filling the templates of the self-contained pages: one style for all, and no name of a file can become code."""

import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def read(name: str) -> str:
    """Read a template, style or script by its path in this room."""
    return (FOLDER / name).read_text(encoding="utf-8")


def fill(name: str, fields: dict[str, str]) -> str:
    """Fill the fields ``[[NAME]]`` of a template, in one pass: no value can bring in another field.

    Args:
        name: the template's file name.
        fields: what stands in place of each field, escaped already; ``[[STYLE]]`` is the pages' common style.
    """
    fields = {"STYLE": read("page.css"), **fields}
    return re.sub(r"\[\[([A-Z]+)\]\]", lambda found: fields[found[1]], read(name))


def script_json(value: Any) -> str:
    """Return JSON to stand inside a script element, which a "<" in a file's name would otherwise end."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
