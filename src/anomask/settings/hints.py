"""What type each setting wants: from the schemas, and from the signatures of the classes that `_target_` names."""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.utils import get_object

from anomask.errors import ConfigError, did_you_mean

WORDS = {int: "a whole number", float: "a number", str: "text", Path: "a path", bool: "true or false", NoneType: "null"}

OF_A_CLASS = (dict[str, Any], dict[str, Any] | None)  # in a schema: what a class is made of, named by _target_


def hint_of(schema: type, key: str) -> Any:
    """Return the type that a schema gives to a key, such as ``paths.data``; None where it says nothing."""
    hint: Any = schema
    for name in key.split("."):
        if dataclasses.is_dataclass(hint):
            hint = get_type_hints(hint).get(name)
        elif get_origin(hint) is dict:
            hint = get_args(hint)[1]
        else:
            return None
    return hint


def is_text(hint: Any) -> bool:
    """Say whether a type is text or a path, null or not."""
    parts = set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else {hint}
    return bool(parts & {str, Path}) and parts <= {str, Path, NoneType}


def arguments_of(target: str) -> tuple[Mapping[str, Any], bool]:
    """Return what a class or function takes, with types (None: it says none), and whether it takes anything else.

    Args:
        target: its full name.

    Raises:
        ConfigError: there is none of that name, or it is Python's own and no part of a model.
    """
    if target.split(".", maxsplit=1)[0] in sys.stdlib_module_names:
        raise ConfigError(f"_target_: got {target}, wanted a class of anomask, of a library that it uses, or your own.")
    try:
        found = get_object(target)
        parameters = inspect.signature(found).parameters
    except Exception as error:  # whatever an import of somebody's module raises
        raise ConfigError(f"_target_: {target} cannot be used: {type(error).__name__}: {error}.") from error
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return {name: _hints(found).get(name) for name in parameters}, open_ended


def _hints(found: Callable) -> dict[str, Any]:
    try:
        return get_type_hints(found.__init__ if inspect.isclass(found) else found)
    except (NameError, TypeError, AttributeError):  # annotations that only type checkers can read
        return {}


def check_types(settings: Mapping[str, Any], schema: type) -> None:
    """Compare what was set with what the classes take; the schema's own fields are checked when settings are composed.

    Args:
        settings: plain and resolved.
        schema: of the command.

    Raises:
        ConfigError: the first setting of a wrong type, or that nothing takes.
    """
    fault = next(_faults(settings, "", schema), None)
    if fault is not None:
        raise ConfigError(fault)


def _faults(node: Any, key: str, hint: Any) -> Iterator[str]:
    if hint in OF_A_CLASS and isinstance(node, Mapping) and "_target_" not in node:
        yield f"{key}: no class is named. Wanted: {key}._target_=<class>, as the files in conf/ do."
    elif isinstance(node, Mapping) and "_target_" in node:
        yield from _faults_of_arguments(node, key)
    elif isinstance(node, Mapping):
        for name, value in node.items():
            below, where = hint_of(hint, str(name)), f"{key}.{name}".lstrip(".")
            if below is None and dataclasses.is_dataclass(hint):  # Hydra lets a + add it
                near = did_you_mean(str(name), hint.__dataclass_fields__)
                yield f"{where}: nothing reads such a setting{near or '.'}"
            yield from _faults(value, where, below)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _faults(value, f"{key}[{index}]", None)


def _faults_of_arguments(node: Mapping[str, Any], key: str) -> Iterator[str]:
    try:
        taken, open_ended = arguments_of(node["_target_"])
    except ConfigError as error:
        yield f"{key}.{error}"
        return
    name_of_class = node["_target_"].rpartition(".")[2]
    for name, value in node.items():
        where = f"{key}.{name}".lstrip(".")
        if name.startswith("_"):
            continue
        if name not in taken and not open_ended:
            known = [f"{key}.{other}" for other in taken]
            yield f"{where}: {name_of_class} has no such setting{did_you_mean(where, known) or '.'}"
        elif not fits(value, taken.get(name)):
            yield f"{where}: got {value!r}, wanted {described(taken[name])} ({name_of_class})."
        else:
            yield from _faults(value, where, None)


def fits(value: Any, hint: Any) -> bool:  # noqa: PLR0911 - a line for each kind of type
    """Say whether a plain value is of a type, or may be made into it; types that are not known here take anything."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    if hint in (str, Path):
        return isinstance(value, str)
    if hint in (bool, NoneType):
        return isinstance(value, hint)
    kind = origin or hint
    if not inspect.isclass(kind) or kind is object:
        return True
    if isinstance(value, Mapping) or issubclass(kind, Mapping):
        return isinstance(value, Mapping)  # an object is the mapping that names its class
    if isinstance(value, list):
        return _fits_items(value, kind, parts)
    if isinstance(value, str) and hasattr(kind, "__iter__") and not issubclass(kind, Enum):
        return False  # a text is a sequence for Python alone
    return value is None or (isinstance(value, str) and issubclass(kind, Enum)) or _is_one(value, kind)


def _fits_items(values: list, kind: type, parts: tuple) -> bool:
    if kind is tuple and parts and parts[-1] is not Ellipsis:
        return len(values) == len(parts) and all(map(fits, values, parts))
    return hasattr(kind, "__iter__") and (not parts or all(fits(value, parts[0]) for value in values))


def _is_one(value: Any, kind: type) -> bool:
    try:
        return isinstance(value, kind)
    except TypeError:  # protocols that cannot be asked
        return True


def described(hint: Any) -> str:
    """Say a type in words."""
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(described, get_args(hint))))
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind is tuple and parts and parts[-1] is not Ellipsis:
        return f"[{', '.join(map(described, parts))}]"
    if kind in WORDS:
        return WORDS[kind]
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return "a mapping"
    return "a list" if hasattr(kind, "__iter__") else f"a {getattr(kind, '__name__', kind)} (_target_=<class>)"
