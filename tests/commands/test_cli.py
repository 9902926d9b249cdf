"""`anomask` itself: help without torch, version, older forms of a command, and what a command finds in sys.argv."""

import subprocess
import sys

import pytest

import anomask
from anomask.commands import cli, entry

HEAVY = ("torch", "pytorch_lightning", "monai", "torchmetrics", "wandb", "scipy", "numpy")


def imported_by(*arguments):
    """Run a command in a process of its own; returns what it says and what it has imported."""
    command = [sys.executable, "-X", "importtime", "-m", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout, {line.rpartition("|")[2].strip().split(".")[0] for line in result.stderr.splitlines()}


def test_help_of_all_names_every_command_and_imports_nothing():
    text, modules = imported_by("anomask", "--help")
    assert all(f"\n  {verb} " in text for verb in cli.VERBS)
    assert not modules & {*HEAVY, "hydra", "omegaconf", "yaml"}


def test_help_of_a_command_imports_nothing_heavy_in_the_older_form_too():
    text, modules = imported_by("anomask.train", "--help")
    assert "usage: anomask train" in text and "trainer.max_steps=2000" in text
    assert "hydra" in modules and not modules & {*HEAVY}


def test_version_and_no_arguments(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"anomask {anomask.__version__}\n"
    cli.main([])
    assert capsys.readouterr().out.startswith("anomask: ")


def test_a_command_runs_with_what_was_typed_in_sys_argv(monkeypatch, tmp_path):
    """Lightning starts the further processes of a training by repeating sys.argv."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(entry.RAW, raising=False)
    typed = ["anomask", "evaluate", "run=a, b (1)", "name=1e3", "device=cuda"]
    monkeypatch.setattr(sys, "argv", list(typed))
    seen = []

    def work(config):
        seen.append((list(sys.argv), config.run, config.name, config.device, entry.os.environ.get(entry.RAW)))

    work.__module__ = "anomask.commands.evaluate"
    entry.command("evaluate")(work)(typed[2:])
    assert seen == [(typed, "a, b (1)", "1e3", "cuda", None)] and sys.argv == typed
    assert entry.RAW not in entry.os.environ and list(tmp_path.iterdir()) == []


def test_an_error_that_nobody_expected_keeps_its_traceback(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def work(config):
        raise KeyError("a fault of ours")

    work.__module__ = "anomask.commands.evaluate"
    with pytest.raises(KeyError, match="a fault of ours"):
        entry.command("evaluate")(work)(["run=x"])
