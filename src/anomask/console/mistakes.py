"""Mistakes in what was typed, each in one line with the nearest right thing."""

import re
from collections.abc import Iterable, Iterator

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import OverrideParseException
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, ValidationError

from anomask.console.known import ADDED, Known
from anomask.errors import did_you_mean
from anomask.settings.compose import schema_of
from anomask.settings.hints import described, hint_of


def explain(error: BaseException, known: Known) -> str:
    """Say in one line what is wrong with the settings.

    Args:
        error: what was raised while they were composed or read.
        known: what the command knows, and what was asked of it.
    """
    try:
        if mistake := next(_mistakes(known), None):
            return mistake
    except Exception:  # conf/ itself cannot be composed: the error says why
        known = Known(known.verb)
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, MissingMandatoryValue):
            return missing([one.full_key], known)
        if isinstance(one, InterpolationToMissingValueError):
            return missing(re.findall(r"Missing mandatory value: ([\w.]+)", str(one)), known)
        if isinstance(one, ValidationError) and one.full_key:
            return _wrong_type(one, known)
    if type(chain[-1]) is AttributeError and (where := re.search(r"full_key: ([\w.]+)", str(chain[-1]))):
        return f"{where[1]}: a mapping takes the place of null in a file alone, such as one of conf/experiment"
    said = re.split(r"\n *full_key:|\nSee https|\nTo append", str(chain[-1]))[0]
    where = re.search(r"full_key: ([\w.]+)", str(chain[-1]))
    asked = re.search(r"Interpolation key '([\w.]+)' not found", said)
    near = did_you_mean(asked[1], sound(known.verb, known.overrides, known.config_dir).keys()) if asked else ""
    return f"{where[1] + ': ' if where else ''}{' '.join(said.split())}{near}"


def missing(keys: Iterable[str], known: Known) -> str:
    """Say what must be given, with what conf/ says of it."""
    meanings = sound(known.verb, known.overrides, known.config_dir).keys()
    wanted = [(key, meanings[key].comment if key in meanings else "") for key in keys]
    said = [f"{key}=<{meaning.split(',')[0].split(' (')[0] or key.rpartition('.')[2]}>" for key, meaning in wanted]
    return f"{', '.join(key for key, _ in wanted)} is missing: anomask {known.verb} {' '.join(said)} ..."


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def sound(verb: str, overrides: Iterable[str], config_dir: str | None = None) -> Known:
    """Return what a command knows after those overrides alone that choose a file which is there: they bring keys.

    Args:
        verb: the command.
        overrides: as Hydra reads them, right or wrong.
        config_dir: the user's own conf folder, or None.
    """
    default = Known(verb, config_dir=config_dir)
    chosen = [one for one in overrides if _chooses(one, default) and not list(_mistaken(one, default, {}))]
    try:
        known = Known(verb, chosen, config_dir)
        known.keys()
    except Exception:  # two choices that do not go together
        return default
    return known


def _mistakes(known: Known) -> Iterator[str]:
    composable = sound(known.verb, known.overrides, known.config_dir)
    keys = composable.keys()
    above = {".".join(key.split(".")[:depth]) for key in keys for depth in range(1, key.count(".") + 1)}
    for one in known.overrides:
        yield from _mistaken(one, composable, {**keys, **dict.fromkeys(above)})


def _mistaken(text: str, known: Known, keys: dict) -> Iterator[str]:
    groups = known.choices()
    try:
        (override,) = OverridesParser.create().parse_overrides([text])
    except OverrideParseException as error:
        yield _unreadable(text, str(error), known)
        return
    key, added = override.key_or_group, text.startswith("+")
    if key in groups and (choices := _choices(override)) is not None:
        yield from _mistaken_choice(text, key, choices, known)
    elif not key:
        yield _unreadable(text, "no key before =", known)
    elif key.startswith("hydra") or not keys or key in groups:
        return
    elif key not in keys and not any(key.startswith(f"{name}.") for name in keys if name.count(".") or added):
        yield f"{key}: anomask {known.verb} has no such setting{did_you_mean(key, [*keys, *groups]) or '.'}"
    elif key not in keys and not added:
        yield f"{key}: no such setting{did_you_mean(key, keys) or '.'} A new one is added with +{key}=..."
    elif key in keys and added and not text.startswith("++"):
        yield f"{key} is there already: write {text.lstrip('+')}, without +"


def _chooses(text: str, known: Known) -> bool:
    return re.split("[=@]", text.lstrip("+~"))[0] in known.choices()


def _choices(override: Override) -> list[str] | None:
    """Return the files that an override of a group chooses, several with -m; None: it is no choice."""
    if override.is_delete() or override.value_type is ValueType.GLOB_CHOICE_SWEEP:
        return []
    if override.is_sweep_override():
        return [one.strip("'\"") for one in override.sweep_string_iterator()]
    value = override.value()
    if isinstance(value, list):
        return list(map(str, value))
    return None if isinstance(value, dict) else ["null" if value is None else str(value)]


def _mistaken_choice(text: str, group: str, choices: list[str], known: Known) -> Iterator[str]:
    options, plus = known.options(group), text.startswith("+")
    for choice in choices:
        if choice == "null":
            yield f"{group}=null: leave it out, or take away what is chosen: ~{group}"
        elif choice not in options:
            near = did_you_mean(choice, options)
            yield f"{group}={choice}: no such file in conf/{group}{near or '.'} There are: {', '.join(options)}"
    if choices and plus != (group in ADDED.get(known.verb, ())):
        yield f"write +{text}" if not plus else f"{group} is chosen already: write {text.lstrip('+')}, without +"


def _unreadable(text: str, reason: str, known: Known) -> str:
    if re.fullmatch(r"[\w./-]*|=.*", text):
        groups = known.choices()
        owners = [f"{group}={text}" for group in groups if text in known.options(group)]
        others = [f"{name}=" for name in (*groups, *known.keys())]
        near = f": did you mean {' or '.join(owners[:3])}?" if owners else did_you_mean(f"{text}=", others)
        return f"{text!r} is no key=value{near or '.'} anomask {known.verb} --help lists the keys"
    said = re.sub(r"^Error parsing override .*\n", "", reason).splitlines()[0]
    key = text.partition("=")[0]
    return f"{text} cannot be read ({said}). Quote a text twice: {key}=\"'...'\""


def _wrong_type(error: ValidationError, known: Known) -> str:
    hint = hint_of(schema_of(known.verb), error.full_key)
    if hint is None:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    return f"{error.full_key}: got {error.value!r}, wanted {described(hint)}"
