"""Reading files that may be damaged or of another version: each has a shape, and every fault is one `RunError`.

A shape is a type (`float` takes any finite number), `None`, a tuple of shapes of which one must fit, a list with the
shape of its items, or a dict of keys; a key with a "?" behind it may be lacking, and keys that it doesn't name are let
be. `object` takes anything, a number stands for itself.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from anomask.cells import restored
from anomask.errors import RunError

WORDS = {float: "a finite number", int: "a whole number", str: "a text", bool: "true or false", None: "null"}
WORDS |= {dict: "a mapping", list: "a list"}
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast; a sweep has hundreds of settings files
DEEPEST = 50  # our own files are a tenth of it
SHOWN = 60  # characters of a wrong value


def read_json(file: Path, shape: Any, remedy: str) -> Any:
    """Read a JSON file.

    Args:
        file: there is one.
        shape: that it must have.
        remedy: a sentence on what to do where it has not.

    Raises:
        RunError: it is damaged, or of another version.
    """
    return _read(file, lambda text: json.loads(text, parse_constant=_refuse), shape, remedy)


def read_yaml(file: Path, shape: Any, remedy: str) -> Any:
    """Read a YAML file of plain values; arguments and errors as in `read_json`."""
    return _read(file, _plain_yaml, shape, remedy)


def read_csv(file: Path, columns: Mapping[str, type], remedy: str) -> list[dict[str, str]]:
    """Read a CSV file with a header; what `anomask.cells` has neutralised is as it was.

    Args:
        file: there is one.
        columns: that it must have, `float` for numbers; it may have others.
        remedy: as in `read_json`.

    Raises:
        RunError: it is damaged: not a line for each, another number of cells, not a number.
    """
    return _read(file, lambda text: _table(text, columns), list, remedy)


def read_arrays(file: Path, make: Callable[[dict[str, np.ndarray]], Any], remedy: str) -> Any:
    """Read an .npz file and return what `make` makes of its arrays.

    Raises:
        RunError: it is damaged, or of another version.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return make(dict(arrays))
    except RunError:
        raise
    except Exception as error:  # numpy, zip and what looks at the arrays raise a dozen kinds for a damaged file
        raise RunError(f"{file} is damaged ({type(error).__name__}: {error}). {remedy}") from error


def fault(value: Any, shape: Any, where: str = "") -> str | None:
    """Return what keeps a value from a shape, or None where it fits.

    Args:
        value: as it was read.
        shape: see this module.
        where: dotted name of the value, '' for the whole.
    """
    if isinstance(shape, tuple):
        faults = [fault(value, one, where) for one in shape]
        # Of several shapes the structured one says more than "wanted is null".
        return None if None in faults else next((f for f, s in zip(faults, shape, strict=True) if s), faults[0])
    if isinstance(shape, dict):
        return _not_of(value, dict, where) or _first(_faults_of_keys(value, shape, where))
    if isinstance(shape, list):
        items = enumerate(value) if isinstance(value, list) else ()
        return _not_of(value, list, where) or _first(fault(item, shape[0], f"{where}[{i}]") for i, item in items)
    return _not_of(value, shape, where)


def _read(file: Path, parse: Callable[[str], Any], shape: Any, remedy: str) -> Any:
    try:
        found = parse(file.read_bytes().decode("utf-8-sig"))
    # Parsers raise more than their own errors for bytes at random: a date that is none, a thousand brackets.
    except (ValueError, yaml.YAMLError, csv.Error, LookupError, TypeError, AttributeError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise RunError(f"{file} is damaged ({type(error).__name__}: {said}). {remedy}") from error
    if (wrong := fault(found, shape)) is not None:
        raise RunError(f"{file} is damaged or of another version: {wrong}. {remedy}")
    return found


def _not_of(value: Any, kind: Any, where: str) -> str | None:
    if kind is object or (kind is None and value is None):
        return None
    if isinstance(kind, int):
        fits = value == kind
    elif kind is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)
    else:
        fits = kind is not None and isinstance(value, kind) and (kind is not int or not isinstance(value, bool))
    if fits:
        return None
    got = repr(value) if len(repr(value)) <= SHOWN else f"{repr(value)[:SHOWN]}..."
    return f"{where or 'it'} is {got}, wanted is {WORDS.get(kind, kind)}"


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of a thousand digits
        return False


def _faults_of_keys(value: dict, shape: Mapping[str, Any], where: str) -> Sequence[str | None]:
    lacking = [key for key in shape if not key.endswith("?") and key not in value]
    if lacking:
        return [f"{where or 'it'} lacks {', '.join(lacking)}"]
    keys = [(key.removesuffix("?"), below) for key, below in shape.items()]
    return [fault(value[key], below, f"{where}.{key}".lstrip(".")) for key, below in keys if key in value]


def _first(faults: Any) -> str | None:
    return next((one for one in faults if one is not None), None)


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


def _plain_yaml(text: str) -> Any:
    # Looked through before it is built: some kilobytes of brackets or of references would take the process down.
    depth = references = 0
    for event in yaml.parse(text, LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        references += isinstance(event, yaml.AliasEvent)
        if depth > DEEPEST or references > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep, or has as many references")
    return yaml.load(text, LOADER)


def _table(text: str, columns: Mapping[str, type]) -> list[dict[str, str]]:
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(lines, [])
    if lacking := [name for name in columns if name not in header]:
        raise ValueError(f"it lacks the column {', '.join(lacking)}")
    rows = []
    for cells in lines:
        if len(cells) != len(header):
            raise ValueError(f"line {lines.line_num} has {len(cells)} cells, the header {len(header)}")
        row = dict(zip(header, map(restored, cells), strict=True))
        for name in (name for name, kind in columns.items() if kind is float):
            if not math.isfinite(float(row[name])):
                raise ValueError(f"line {lines.line_num} has {name} {row[name]}, wanted is a finite number")
        rows.append(row)
    return rows
