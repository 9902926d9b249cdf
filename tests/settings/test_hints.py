"""Types of settings, and what does not fit them; that conf/ fits its classes is in promises/test_configs.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from anomask.errors import ConfigError
from anomask.settings.hints import check_types, described, fits, hint_of, is_text
from anomask.settings.schema import Config
from tests.conftest import settings_of


@pytest.mark.parametrize(
    ("hint", "right", "wrong"),
    [
        (int, [1], [1.5, "1", True, None, {}]),
        (float, [1, 1.5], ["x", True, None, []]),
        (bool, [True], [1, "no", None]),
        (str, ["x"], [1, None, {}]),
        (str | Path | None, ["x", None], [1]),
        (Literal["a", "b"], ["a"], ["c", []]),
        (Sequence[int], [[1, 2], []], [3, "ab", ["x"]]),
        (tuple[float, float], [[1, 2.5]], [[1], [1, "x"], 3]),
        (tuple[int, ...], [[1, 2, 3]], [["x"]]),
        (dict[str, int], [{"a": 1}], [1, "x", []]),
        (Config, [{"_target_": "x"}], [7, "x", [1]]),
        (Any, [1, "x", None], []),
    ],
)
def test_values_fit_types(hint, right, wrong):
    assert all(fits(value, hint) for value in right)
    assert not any(fits(value, hint) for value in wrong)


def test_types_in_words():
    assert described(int | None) == "a whole number or null"
    assert described(tuple[float, float]) == "[a number, a number]"
    assert described(Literal["a", "b"]) == "a or b" and described(Sequence[int]) == "a list"
    assert described(Config) == "a Config (_target_=<class>)"


def test_hints_of_keys():
    assert hint_of(Config, "paths.runs") is str and hint_of(Config, "data.size") is Any
    assert hint_of(Config, "nosuch.key") is None
    assert is_text(str | None) and not is_text(Any) and not is_text(int | str)


def test_what_nothing_reads_is_an_error():
    settings = settings_of()
    with pytest.raises(ConfigError, match="ablaton: nothing reads such a setting"):
        check_types(settings | {"ablaton": "x"}, Config)
    with pytest.raises(ConfigError, match="logger: no class is named"):
        check_types(settings | {"logger": {"name": ""}}, Config)
