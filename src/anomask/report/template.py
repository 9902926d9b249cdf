"""Filling the templates of the self-contained pages: one style for all, and no name of a file can become code."""

import base64
import hashlib
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
        fields: what stands in place of each field, escaped already; ``[[STYLE]]``, the pages' common style, and
            ``[[POLICY]]`` are made here.
    """
    fields, template = {"STYLE": read("page.css"), **fields}, read(name)

    def filled(text: str) -> str:
        return re.sub(r"\[\[([A-Z]+)\]\]", lambda found: fields[found[1]], text)

    fields["POLICY"] = policy(*map(filled, re.findall(r"<script>(.*?)</script>", template, re.DOTALL)))
    return filled(template)


def policy(*scripts: str) -> str:
    """Return the content policy of a page: it fetches nothing, sends nothing, and runs these scripts alone."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = "".join(f" 'sha256-{digest}'" for digest in digests) or " 'none'"
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        f"script-src{allowed}"
    )


def script_json(value: Any) -> str:
    """Return JSON to stand inside a script element, which a "<" in a file's name would otherwise end."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
