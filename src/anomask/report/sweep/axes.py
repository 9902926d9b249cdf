"""Where values stand on an axis, 0 to 1, and what is written beside it. Pure functions."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from anomask.report.sweep.settings import ABSENT, canonical, is_number

DECADE = 10  # a span of more than this is logarithmic
MOST_TICKS = 6
CLOSEST = 0.07  # two ticks, share of the axis


class Axis(NamedTuple):
    """One axis."""

    kind: str  # 'linear', 'log' or 'category'
    at: list[float | None]  # one a value; None where there is none
    ticks: list[tuple[float, str]]


def axis(values: Sequence[Any], known: Sequence[bool], show: Callable[[Any], str], log: bool = True) -> Axis:
    """Lay values on an axis: numbers by size, on a logarithmic scale over more than a decade, anything else by rank.

    Args:
        values: one a job.
        known: which jobs count; the others stand nowhere.
        show: how a value is written.
        log: whether the scale may be logarithmic.
    """
    kept = [value for value, counts in zip(values, known, strict=True) if counts]
    if not kept:
        return Axis("category", [None] * len(values), [])
    if not all(is_number(value) and math.isfinite(value) for value in kept):
        return _categories(values, known, show)
    low, high = min(kept), max(kept)
    kind = "log" if log and low > 0 and high > DECADE * low else "linear"
    place = _place(low, high, math.log if kind == "log" else float)
    distinct = sorted(set(kept))
    marks = distinct if len(distinct) <= MOST_TICKS else _round_marks(low, high, kind)
    at = [place(value) if counts else None for value, counts in zip(values, known, strict=True)]
    return Axis(kind, at, _thin([(place(mark), show(mark)) for mark in marks]))


def _categories(values: Sequence[Any], known: Sequence[bool], show: Callable[[Any], str]) -> Axis:
    found = {canonical(value): value for value, counts in zip(values, known, strict=True) if counts}
    order = sorted(found, key=lambda text: _rank(found[text]))
    at = {text: 0.5 if len(order) == 1 else index / (len(order) - 1) for index, text in enumerate(order)}
    places = [at[canonical(value)] if counts else None for value, counts in zip(values, known, strict=True)]
    return Axis("category", places, _thin([(at[text], show(found[text])) for text in order]))


def _rank(value: Any) -> tuple[int, float, str]:
    if is_number(value):
        return 0, value, ""
    return (2 if value is None else 3 if value is ABSENT else 1), 0, canonical(value)


def _place(low: float, high: float, scale: Callable[[float], float]) -> Callable[[float], float]:
    if low == high:
        return lambda value: 0.5
    first, last = scale(low), scale(high)
    return lambda value: (scale(value) - first) / (last - first)


def _round_marks(low: float, high: float, kind: str) -> list[float]:
    if kind == "log":
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        fine = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
        inside = [mark for mark in fine if low <= mark <= high]
        return inside if len(inside) <= MOST_TICKS else [mark for mark in inside if f"{mark:e}".startswith("1.0")]
    rough = (high - low) / (MOST_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _thin(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Leave out ticks that would overlap; the two ends stay."""
    kept = list(ticks[:1])
    for tick in ticks[1:]:
        if tick[0] - kept[-1][0] >= CLOSEST:
            kept.append(tick)
        elif tick is ticks[-1] and len(kept) > 1:
            kept[-1] = tick
    return kept
