"""The shell completes commands, groups, their files, and keys."""

import os
import subprocess
import sys

import pytest

from anomask.commands.cli import VERBS
from anomask.console.completion import SCRIPT, answer, words

BASH = """
eval "$(anomask completion bash)"
COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}; COMP_WORDS=($COMP_LINE)
_anomask
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("anomask tr", ["train ", "transplant "]),
        ("anomask train exp", ["experiment="]),
        ("anomask train +abl", ["+ablation="]),
        ("anomask train experiment=detector_", ["experiment=detector_paper", "experiment=detector_tokens"]),
        ("anomask train -m experiment=demo_codebook,demo_d", ["experiment=demo_codebook,demo_detector"]),
        ("anomask train da", ["data.", "data="]),
        ("anomask train data.si", ["data.size="]),
        ("anomask train data.size=wrong data=folder data.on_", ["data.on_mixed_size="]),  # of the file that is chosen
        ("anomask train synthesiser/dr", ["synthesiser/draw="]),
        ("anomask evaluate maps=", ["maps=false", "maps=true"]),
        ("anomask predict --m", ["--multirun"]),
        ("anomask predict input=/some/pa", []),  # files, by the shell
        ("anomask nosuch x", []),
        ("anomask completion ", ["bash"]),
    ],
)
def test_what_a_word_may_become(line, expected):
    assert words(line, VERBS) == expected


def test_every_key_of_a_small_command_is_offered():
    offered = words("anomask compare ", VERBS)
    assert offered == ["bootstrap=", "first=", "name=", "progress=", "quiet=", "runs=", "second=", "seed="]


def test_the_script_and_how_to_use_it():
    assert answer(["bash"], VERBS) == SCRIPT
    assert 'eval "$(anomask completion bash)"' in answer([], VERBS)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("anomask comp", ["compare ", "completion "]),
        pytest.param(
            "anomask train experiment=detector_", ["detector_paper", "detector_tokens"], marks=pytest.mark.slow
        ),
        pytest.param("anomask train data.si", ["data.size="], marks=pytest.mark.slow),
    ],
)
def test_in_bash(line, expected, tmp_path):
    command = tmp_path / "anomask"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m anomask "$@"\n')
    command.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    result = subprocess.run(
        ["bash", "-c", BASH, "x", line], env=environment, capture_output=True, text=True, timeout=240
    )
    assert result.stdout.splitlines() == expected, result.stderr
