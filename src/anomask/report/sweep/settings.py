"""Which settings differ between the jobs of a sweep, and what each is called in short. Pure functions."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

ABSENT = object()  # in place of a setting that other jobs have; null is a value


class Setting(NamedTuple):
    """A setting that differs between jobs."""

    name: str  # dotted, as on the command line
    label: str  # its shortest ending that no other setting has
    also: list[str]  # settings of the same value in every job, such as those interpolated from it
    values: list[Any]  # one a job, or ABSENT

    @property
    def pattern(self) -> tuple[int, ...]:
        """Which jobs have the same value: two settings of one pattern move together."""
        return _pattern([canonical(value) for value in self.values])


def compare(jobs: Sequence[dict[str, Any]]) -> tuple[list[Setting], dict[str, Any]]:
    """Part the settings of all jobs into those that differ and those that do not.

    Args:
        jobs: settings by dotted name; an empty dict is a job whose settings are not known.

    Returns:
        settings that differ, in the order of the first job's; the others, name -> value
    """
    names = list(dict.fromkeys(name for job in jobs for name in job))
    constant, alike = {}, {}
    for name in names:
        values = tuple(canonical(job.get(name, ABSENT)) for job in jobs)
        if len({value for value, job in zip(values, jobs, strict=True) if job}) == 1:
            constant[name] = next(job[name] for job in jobs if job)
        else:
            alike.setdefault(values, []).append(name)
    differing = []
    for same in alike.values():
        first, *also = sorted(same, key=lambda name: name.count("."))
        values = [job.get(first, ABSENT) for job in jobs]
        differing.append(Setting(first, shortest(first, names), also, values))
    return differing, constant


def shortest(name: str, names: Sequence[str]) -> str:
    """Return the shortest ending of a dotted name that no other name has; a `_target_` is named by what it builds."""
    parts = _parts(name)
    others = [_parts(other) for other in names if other != name]
    for start in range(len(parts) - 1, -1, -1):
        if not any(other[-len(parts[start:]) :] == parts[start:] for other in others):
            return ".".join(parts[start:])
    return name


def leading(settings: Sequence[Setting], known: Sequence[bool]) -> list[tuple[Setting, list[Setting]]]:
    """Return the settings that deserve an axis of their own, each with those that merely move with it.

    Exchanging a group changes a dozen settings at once: one axis says it. A number that every job has is always an
    axis: in a random search all numbers differ in every job, which is no sign that they move together.

    Args:
        settings: those that differ.
        known: which jobs' settings are.
    """
    present = {s.name: [value for value, counts in zip(s.values, known, strict=True) if counts] for s in settings}
    whole = {name: ABSENT not in values for name, values in present.items()}
    leaders: list[tuple[Setting, list[Setting]]] = []
    for setting in sorted(settings, key=lambda setting: not whole[setting.name]):
        alike = [followers for leader, followers in leaders if leader.pattern == setting.pattern]
        if alike and not all(is_number(value) for value in present[setting.name]):
            alike[0].append(setting)
        else:
            leaders.append((setting, []))
    order = [setting.name for setting in settings]
    return sorted(leaders, key=lambda pair: order.index(pair[0].name))


def is_number(value: Any) -> bool:
    """Tell whether a setting's value is a number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def canonical(value: Any) -> str:
    """Return text that is equal for equal values: 1 and 1.0 are, 1 and true are not."""
    if value is ABSENT:
        return ""
    return json.dumps(float(value) if is_number(value) else value, sort_keys=True, default=str)


def show(name: str, value: Any) -> str:
    """Return a value as it is read; a class or function without its module."""
    if value is ABSENT:
        return "–"
    if isinstance(value, str):
        return value.rsplit(".", 1)[-1] if name.endswith("_target_") else value
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value, default=str)


def _parts(name: str) -> list[str]:
    parts = name.split(".")
    return parts[:-1] if parts[-1] == "_target_" and len(parts) > 1 else parts


def _pattern(values: Sequence[str]) -> tuple[int, ...]:
    first = {value: index for index, value in reversed(list(enumerate(values)))}
    return tuple(first[value] for value in values)
