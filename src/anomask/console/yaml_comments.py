"""Keys of a YAML file with their values as written and the comments beside them."""

from collections.abc import Iterator
from typing import NamedTuple

import yaml


class Entry(NamedTuple):
    """A key of a file, or a mapping that holds others."""

    path: str
    value: str | None  # as written, on one line; None: a mapping, whose keys follow
    comment: str  # beside it
    heading: str  # lines of comment above it, after an empty line


def header(text: str) -> str:
    """Return the comment that a file begins with, on one line; a package directive is not part of it."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.lstrip("# "))
    return " ".join(lines)


def entries(text: str, leave_out: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Yield the keys of a file in order.

    Args:
        text: of the file.
        leave_out: keys at the top that are not yielded.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return
    root.value = [pair for pair in root.value if pair[0].value not in leave_out]
    yield from _entries(root, "", text.splitlines())


def _entries(node: yaml.MappingNode, prefix: str, lines: list[str]) -> Iterator[Entry]:
    for key, value in node.value:
        path, heading = f"{prefix}{key.value}", _heading(lines, key.start_mark.line)
        if isinstance(value, yaml.ScalarNode) or value.flow_style:
            comment = _comment(lines[value.end_mark.line][value.end_mark.column :])
            yield Entry(path, _written(value), comment, heading)
            continue
        comment = _comment(lines[key.end_mark.line][key.end_mark.column :])
        if isinstance(value, yaml.SequenceNode):
            yield Entry(path, _written(value), comment, heading)
        else:
            yield Entry(path, None, comment, heading)
            yield from _entries(value, f"{path}.", lines)


def _written(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode) or node.flow_style:
        return " ".join(node.start_mark.buffer[node.start_mark.pointer : node.end_mark.pointer].split())
    if isinstance(node, yaml.SequenceNode):
        return f"[{', '.join(map(_written, node.value))}]"
    return f"{{{', '.join(f'{_written(key)}: {_written(value)}' for key, value in node.value)}}}"


def _comment(rest: str) -> str:
    return rest[rest.index("#") :].strip("# ") if "#" in rest else ""


def _heading(lines: list[str], line: int) -> str:
    first = line
    while first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    if first == 0 or lines[first - 1].strip():
        return ""  # the file's own header, or a comment in the middle of keys
    return " ".join(part.strip().lstrip("# ") for part in lines[first:line])
