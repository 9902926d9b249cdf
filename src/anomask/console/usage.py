"""The help of a command: what it does, its options, its groups, and each key with default and meaning."""

import shutil
import textwrap
from collections.abc import Iterator

from anomask.console.known import ADDED, Key, Known

INDENT = 2
COLUMN = 44  # where meanings begin
OPTIONS = """\
  -m, --multirun       one job for each combination of values that commas separate: seed=0,1 data.size=64,128
  --config-dir FOLDER  your own folder of settings, laid out as conf/; its files are found beside the groups' own
  --cfg job            print the settings, composed, and do nothing
  --hydra-help         Hydra's further options
"""
TYPED = """\
Paths, names and patterns arrive as typed: quote them for the shell alone. With -m a comma separates values; one value
that holds a comma is quoted twice: name="'a, b'"."""


def usage(known: Known) -> str:
    """Render the help of a command.

    Args:
        known: what it knows, after what was asked for beside --help.
    """
    width = max(80, shutil.get_terminal_size((120, 24)).columns)
    parts = [known.about(), f"usage: anomask {known.verb} [option ...] [key=value ...]\n\n{OPTIONS.rstrip()}", TYPED]
    if groups := "".join(_groups(known, width)):
        parts.append(f"Groups: <group>=<file> takes another file of conf/<group>\n\n{groups.rstrip()}")
    parts += ["Keys: <key>=<value>; ??? must be given", *_sections(known, width)]
    return "\n\n".join(parts) + "\n"


def _groups(known: Known, width: int) -> Iterator[str]:
    for group, choice in known.choices().items():
        name = f"+{group}=<file>" if group in ADDED.get(known.verb, ()) else f"{group}={choice or 'null'}"
        yield _row(name, ", ".join(known.options(group)), width)


def _sections(known: Known, width: int) -> Iterator[str]:
    headers, keys = known.headers(), known.keys()
    roots = {name: _root(name, package) for name, (_, package) in known.files().items()}
    for root in dict.fromkeys(["", *(key.split(".")[0] if "." in key else "" for key in keys)]):
        lines = [f"{root} (conf/{name}): {headers[name]}" for name, of in roots.items() if of == root and root]
        if not root:  # the command's own file is introduced already; experiments, recipes and ablations are not
            lines = [f"conf/{name}: {headers[name]}" for name, of in roots.items() if not of and "/" in name]
        own = [key for key in keys.values() if (key.path.split(".")[0] if "." in key.path else "") == root]
        introduction = "\n".join(
            textwrap.fill(line.rstrip(": "), width, subsequent_indent=" " * INDENT) for line in lines
        )
        rows = "".join(_rows(own, width)).rstrip()
        if introduction or rows:
            yield f"{introduction}\n{rows}".strip("\n")


def _root(name: str, package: str) -> str:
    return package.split(".", maxsplit=1)[0]


def _rows(keys: list[Key], width: int) -> Iterator[str]:
    for key in keys:
        if key.heading:
            yield "\n" + textwrap.fill(key.heading, width - INDENT, initial_indent="  ", subsequent_indent="  ") + "\n"
        yield _row(f"{key.path}={key.default}", key.comment, width)


def _row(left: str, right: str, width: int) -> str:
    head = " " * INDENT + left
    lines = textwrap.wrap(right, width - COLUMN, break_long_words=False) or [""]
    if len(head) > COLUMN - 2:
        indents = {"initial_indent": " " * INDENT, "subsequent_indent": " " * 2 * INDENT}
        heads = textwrap.wrap(left, width, **indents, break_on_hyphens=False, break_long_words=False)
        return "\n".join([*heads, *(" " * COLUMN + line for line in lines if line)]) + "\n"
    rest = [" " * COLUMN + line for line in lines[1:]]
    return "\n".join([f"{head:{COLUMN}}{lines[0]}".rstrip(), *rest]) + "\n"
