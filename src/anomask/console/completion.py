"""Completion in bash: eval "$(anomask completion bash)". In zsh, first: autoload -U bashcompinit && bashcompinit."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

# Bash splits words at = and : and replaces what follows the last of them; files are completed where nothing else fits.
SCRIPT = r"""_anomask() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\n'
    local word="${line##* }"
    local before="${word%"${word##*[=:]}"}"
    COMPREPLY=($("${COMP_WORDS[0]}" completion words "$line" 2> /dev/null))
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
}
complete -o nospace -o bashdefault -o default -F _anomask anomask
"""
OPTIONS = ("--help", "--multirun", "--config-dir", "--cfg")


def answer(arguments: Sequence[str], verbs: Mapping[str, str]) -> str:
    """Answer ``anomask completion bash``, and what its script asks: ``anomask completion words <line>``.

    Args:
        arguments: what follows ``completion``.
        verbs: the commands.
    """
    if arguments[:1] == ["words"]:
        return "".join(f"{word}\n" for word in words(arguments[1], verbs))
    if arguments == ["bash"]:
        return SCRIPT
    return f"{__doc__.strip()}\n"


def words(line: str, verbs: Iterable[str]) -> list[str]:
    """Return what the last word of a line may become.

    Args:
        line: as typed so far, up to the cursor.
        verbs: the commands.
    """
    head, _, word = line.rpartition(" ")
    try:
        typed = shlex.split(head)[1:]
    except ValueError:  # in the middle of a quotation
        return []
    if not typed:
        found: Iterable[str] = (f"{verb} " for verb in (*verbs, "completion", "--help", "--version"))
    elif typed[0] not in verbs:
        found = ("bash",) if typed == ["completion"] else ()
    elif word.startswith("-"):
        found = OPTIONS
    else:
        found = _settings(typed[0], typed[1:], word)
    return sorted({one for one in found if one.startswith(word)})


def _settings(verb: str, typed: list[str], word: str) -> Iterator[str]:
    from anomask.console.known import ADDED
    from anomask.console.mistakes import sound
    from anomask.console.typed import as_typed

    known = sound(verb, [as_typed(verb, one) for one in typed if "=" in one])
    groups, keys = known.choices(), known.keys()
    added = ADDED.get(verb, ())
    key, equals, value = word.partition("=")
    if not equals:
        yield from (f"{'+' * (group in added)}{group}=" for group in groups)
        for path in keys:  # up to the next dot: data. before data.size
            end = path.find(".", len(word))
            yield f"{path}=" if end < 0 else path[: end + 1]
    elif key.lstrip("+") in groups:
        before = value[: value.rfind(",") + 1]  # with -m, several
        yield from (f"{key}={before}{option}" for option in known.options(key.lstrip("+")))
    elif key in keys and keys[key].default in ("true", "false"):
        yield from (f"{key}={value}" for value in ("true", "false"))
