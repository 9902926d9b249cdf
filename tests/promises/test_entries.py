"""The entry points as a user calls them: help, exit codes, a two-job multirun, loggers."""

import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from tests.conftest import TINY, fit


def call(module, *arguments, folder, check=True):
    environment = {
        **os.environ,
        "ANOMASK_RUNS": str(folder / "runs"),
        "ANOMASK_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "WANDB_MODE": "offline",
    }
    result = subprocess.run(
        [sys.executable, "-m", "anomask", module, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    if check:
        assert result.returncode == 0, result.stderr[-3000:]
    return result


def call_here(module, *arguments, monkeypatch):
    """Call an entry in this process, which has imported torch already; return its exit code."""
    monkeypatch.setattr(sys, "argv", [f"anomask.{module}", *arguments])
    GlobalHydra.instance().clear()
    try:
        import_module(f"anomask.commands.{module}").main()
    except SystemExit as stop:
        return stop.code or 0
    return 0


@pytest.fixture
def tiny_arguments(toy_folder):
    return [*TINY, f"data.folder={toy_folder}"]


HELP = {
    "train": ("codebook_run", "demo_codebook", "synthesiser", "multirun"),
    "fit": ("folder=data/ours", "dry", "goes on where it was cut", "experiment"),
    "evaluate": ("run", "bootstrap", "maps"),
    "predict": ("run", "input", "window", "maps", "candidates"),
    "export": ("run", ".onnx", "checkpoint"),
    "describe": ("run", "card", "thresholds"),
    "compare": ("first", "second", "paired"),
    "tables": ("paper_table", "records", "booktabs"),
    "sweep": ("sweep=", "runs_of", "parallel", "not for choosing"),
    "reproduce": ("paper_table=t4", "seeds=3", "multirun", "launch"),
    "transplant": ("half", "hosts", "donors"),
    "pool": ("folders", "data=pooled", "hospital"),
    "prepare": ("recipe", "min_lung_share", "pseudonymise"),
    "verify": ("folder", "all", "near-copies"),
    "external": ("anomalib=patchcore", "baselines-env", "weights"),
}


@pytest.mark.parametrize("module", HELP)
def test_help_teaches(module, monkeypatch, capsys):
    assert call_here(module, "--help", monkeypatch=monkeypatch) == 0
    text = capsys.readouterr().out
    for word in HELP[module]:
        assert word in text


def test_a_users_error_is_one_line_and_exit_code_one(tmp_path):
    result = call("train", "data=folder", "data.folder=nowhere", folder=tmp_path, check=False)
    assert result.returncode == 1
    assert "DataError: no data folder at nowhere" in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_an_unknown_run_is_an_error(monkeypatch, capfd):
    assert call_here("evaluate", "run=nowhere", monkeypatch=monkeypatch) == 1
    assert "RunError: no detector or baseline run at 'nowhere'" in capfd.readouterr().out


def test_verify_prints_what_it_found_and_its_exit_code_says_whether_it_is_an_error(
    toy_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("ANOMASK_CACHE", str(tmp_path / "cache"))
    folder = shutil.copytree(toy_folder, tmp_path / "set")
    (folder / "test/normal/notes.txt").write_text("scanned in May")
    assert call_here("verify", f"folder={folder}", "scoring.specificity=0.8", monkeypatch=monkeypatch) == 0
    text = capsys.readouterr().out
    assert "WARNING ignored files (1)" in text and "0 errors, 1 warning" in text
    assert len(list((tmp_path / "cache/fingerprints").glob("*/fingerprint.json"))) == 1
    (folder / "train/normal/n000.png").write_bytes(b"")
    assert call_here("verify", f"folder={folder}", monkeypatch=monkeypatch) == 1
    assert "ERROR damaged (1)\n  train/normal/n000.png" in capsys.readouterr().out


@pytest.mark.slow
def test_a_sweep_of_two_jobs_on_the_stage_before_by_name_and_its_page(tiny_arguments, tmp_path):
    call("train", "stage=codebook", *tiny_arguments, folder=tmp_path)
    assert (tmp_path / "runs/codebook/latest/checkpoints/best.ckpt").is_file()
    detectors = ["stage=detector", "codebook_run=codebook", "seed=0,1", "sweep=two"]
    call("train", "--multirun", *detectors, *tiny_arguments, folder=tmp_path)
    folder = tmp_path / "runs/sweeps/two"
    assert len(list(folder.glob("detector_*/threshold.json"))) == 2
    said = call("sweep", "sweep=two", folder=tmp_path).stdout
    assert "2 jobs: 2 finished. Score: val/synthetic_ap" in said and str(Path("runs/sweeps/two/index.html")) in said
    data = json.loads((folder / "index.html").read_text().split('id="data">')[1].split("</script>")[0])
    assert [axis["name"] for axis in data["axes"]] == ["seed"] and data["score"]["at"] in ([0, 1], [1, 0], [0.5, 0.5])
    assert all((folder / href).exists() for job in data["jobs"] for _, href in job["links"])
    wrong = call("sweep", "sweep=tow", folder=tmp_path, check=False)
    assert wrong.returncode == 1 and "RunError: no sweep 'tow'" in wrong.stdout and "Traceback" not in wrong.stderr
    assert f"Known sweeps: {folder}. " in wrong.stdout


@pytest.mark.parametrize("logger", ["wandb", "tensorboard"])
def test_loggers_get_losses_and_pictures(logger, tiny):
    folder = fit(tiny("stage=codebook", f"logger={logger}")).folder
    if logger == "wandb":
        assert list(folder.glob("wandb/offline-run-*/*.wandb"))
        assert list(folder.glob("wandb/offline-run-*/files/media/images/panel*.png"))
    else:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder / "tensorboard"))
        events.Reload()
        assert {"train/loss", "codebook/perplexity", "codebook/used_share"} <= set(events.Tags()["scalars"])
        assert events.Tags()["images"] == ["panel"]


def test_mixed_precision_trains(tiny):
    codebook = fit(tiny("stage=codebook", "trainer.precision=bf16-mixed", name="codebook"))
    common = ["stage=detector", f"codebook_run={codebook.folder}", "synthesiser=paper"]
    assert fit(tiny(*common, "trainer.precision=bf16-mixed", name="detector")).read_threshold()["n_normals"] == 12
