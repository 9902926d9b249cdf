"""Checkpoints are whole or the previous ones, followed where a run is moved, and never take what cannot be read."""

import os

import pytest
import torch

from anomask.files import new_folder, whole_file
from anomask.runs.checkpoints import digest, follow, load_checkpoint, resumable, write_checkpoint
from anomask.runs.folder import Run

WHOLE = {"settings": {}, "state_dict": {"weight": torch.ones(3)}, "optimizer_states": []}


def test_the_previous_checkpoint_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    file = tmp_path / "last.ckpt"
    write_checkpoint(file, WHOLE)
    before = file.read_bytes()

    def cut_off(checkpoint, path):
        assert path.parent == tmp_path, "a file elsewhere cannot be put in its place at once"
        path.write_bytes(before[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", cut_off)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(file, WHOLE)
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


def test_a_checkpoint_is_on_the_disk_before_it_replaces_another(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda _: done.append("written"))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("replaced"), replace(*paths)))
    write_checkpoint(tmp_path / "last.ckpt", WHOLE)
    assert done == ["written", "replaced"]
    with whole_file(tmp_path / "picture") as file:
        file.touch()
    assert done[2:] == ["replaced"]


def test_a_damaged_last_checkpoint_gives_way_to_the_best(tmp_path, caplog):
    assert resumable(tmp_path) is None
    best, last = tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    write_checkpoint(best, WHOLE)
    assert resumable(tmp_path) == best
    write_checkpoint(last, WHOLE)
    assert resumable(tmp_path) == last and resumable(tmp_path, "best") == best
    last.write_bytes(last.read_bytes()[:200])
    assert resumable(tmp_path) == best and "last.ckpt cannot be read" in caplog.text
    write_checkpoint(best, {name: WHOLE[name] for name in ("settings", "state_dict")})
    assert resumable(tmp_path) is None, "weights alone: the best of a method that learns in one look"


def test_paths_in_a_checkpoint_become_those_of_today(tmp_path):
    old = "/old/runs/x/checkpoints"
    state = {
        "dirpath": old,
        "best_model_path": f"{old}/best.ckpt",
        "kth_best_model_path": f"{old}/best.ckpt",
        "last_model_path": "",
        "best_k_models": {f"{old}/best.ckpt": torch.tensor(0.5)},
    }
    here = str(tmp_path.resolve())
    found = follow({"callbacks": {"ModelCheckpoint": state, "Timer": {"elapsed": 3}}}, tmp_path)["callbacks"]
    assert found["Timer"] == {"elapsed": 3}
    assert found["ModelCheckpoint"] == {
        "dirpath": here,
        "best_model_path": f"{here}/best.ckpt",
        "kth_best_model_path": f"{here}/best.ckpt",
        "last_model_path": "",
        "best_k_models": {f"{here}/best.ckpt": torch.tensor(0.5)},
    }


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path):
    names = (".config.1.part.yaml", "checkpoints/.last.1.part.ckpt", "pictures/.step_000004.1.part.png")
    left, kept = [tmp_path / name for name in names], tmp_path / "checkpoints/last.ckpt"
    for name in ("checkpoints", "pictures"):
        (tmp_path / name).mkdir()
    for file in (*left, kept):
        file.touch()
    with Run(tmp_path).claimed():
        assert kept.exists() and not any(file.exists() for file in left)


def test_a_new_folder_is_nobody_elses(tmp_path):
    wanted = tmp_path / "a" / "2026-01-31_12-00-00"
    assert [new_folder(wanted).name for _ in range(3)] == [wanted.name, f"{wanted.name}_2", f"{wanted.name}_3"]


def test_a_run_is_finished_if_it_can_be_used(tmp_path):
    run = Run(tmp_path)
    run.write_settings({"stage": {"name": "detector"}})
    assert run.missing == "its training has not ended"
    write_checkpoint(run.checkpoint_file("best"), WHOLE)
    run.write_cost({"steps": 4})
    assert "no threshold.json" in run.missing
    run.write_threshold({"threshold": 0.5, "specificity": 0.95, "n_normals": 20})
    assert run.finished and run.read_threshold()["best_sha256"] == digest(run.checkpoint_file("best"))
    write_checkpoint(run.checkpoint_file("best"), WHOLE | {"state_dict": {}})
    assert run.missing == "checkpoints/best.ckpt is not what its training ended with"
    run.write_cost({"steps": 4})
    assert "was fixed with other weights" in run.missing
    run.write_settings({"stage": {"name": "codebook"}})
    assert run.finished, "a codebook has no threshold"
    run.checkpoint_file("best").unlink()
    assert not run.finished


def test_a_finished_run_of_before_digests_needs_a_readable_checkpoint(tmp_path):
    run = Run(tmp_path)
    run.write_settings({"stage": {"name": "detector"}})
    run.cost_file.write_text("{}")
    run.threshold_file.write_text('{"threshold": 0.5, "specificity": 0.95, "n_normals": 20}')
    write_checkpoint(run.checkpoint_file("best"), WHOLE)
    assert run.finished and load_checkpoint(run.checkpoint_file("best"))
    run.checkpoint_file("best").write_bytes(b"cut")
    assert "cannot be read" in run.missing
