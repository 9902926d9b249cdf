"""W&B training runs, as the client's own offline files tell them: one run over a crash, and the codebook it used."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from anomask.runs.commit import current_commit
from anomask.runs.folder import Run
from tests.conftest import TINY, fit
from tests.tracking.offline_files import (
    ROOT,
    OfflineRun,
    files_of,
    finished,
    free_port,
    one_run,
    records_of,
    without_account,
)

LONGER = ["trainer.max_steps=10", "trainer.val_check_interval=4"]


@pytest.mark.slow
def test_a_killed_run_goes_on_as_the_same_run_without_a_step_twice(toy_folder, tmp_path):
    """Killed after step 7 of 10, three steps beyond its checkpoint; online was wanted, but nothing answers."""
    folder = tmp_path / "run"
    arguments = [*TINY, *LONGER, f"data.folder={toy_folder}", f"run={folder}", f"paths.cache={tmp_path}/cache"]
    kill = ["+callbacks.kill._target_=tests.tracking.faults.Kill", "+callbacks.kill.after=7"]
    kill.append(f"+callbacks.kill.marker={tmp_path}/killed")
    wandb = ["logger=wandb", "logger.offline=false", "sweep=shares"]
    first = subprocess.run(
        [sys.executable, "-m", "anomask", "train", "stage=codebook", *wandb, *kill, *arguments],
        cwd=ROOT,
        env=without_account(tmp_path) | {"WANDB_BASE_URL": f"http://127.0.0.1:{free_port()}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert first.returncode == -signal.SIGKILL, first.stderr[-2000:]
    warnings = [line for line in (first.stdout + first.stderr).splitlines() if "wandb sync" in line]
    assert len(warnings) == 1 and "no answer" in warnings[0] and f"wandb sync {folder}/wandb" in warnings[0]
    run = Run(folder)
    settings = run.read_settings()
    fit(settings, resume=True)

    first_file, second_file = files_of(folder)
    killed, resumed = OfflineRun(list(records_of(first_file))), OfflineRun(finished(second_file))
    assert killed.run.run_id == resumed.run.run_id == json.loads(run.wandb_file.read_text())["id"]
    assert resumed.run.resume  # wandb sync appends it
    assert [row["_step"] for row in killed.rows] == [0, 1, 2, 3, 4, 5]
    assert [row["_step"] for row in resumed.rows] == [6, 7, 8, 9, 10]  # 10: codebook usage of the epoch
    rows = killed.rows + resumed.rows
    assert all({"train/loss", "lr-Adam"} <= row.keys() for row in rows[:-1])  # the last: of the epoch
    assert [row["_step"] for row in rows if "val/loss" in row and "panel/count" in row] == [3, 7, 9]
    for part in (killed, resumed):
        assert (part.run.run_group, part.run.job_type, part.run.display_name) == ("shares", "codebook", "codebook")
        assert list(part.run.tags) == ["anomask"] and part.run.project == "anomask"
        config = {name: value for name, value in part.config.items() if name != "_wandb"}
        about = {"commit": current_commit(), "data_sha256": run.read_fingerprint()["sha256"]}
        assert config == json.loads(json.dumps(settings)) | about
    assert not killed.artefacts and len(resumed.artefacts) == 1 and resumed.exit_code == 0


def test_a_detector_is_linked_to_its_codebook(tiny):
    codebook = fit(tiny("stage=codebook", "logger=wandb", "name=lung/normal", name="codebook"))
    made = one_run(codebook.folder)
    (artefact,) = made.artefacts
    assert (artefact.name, artefact.type) == ("codebook-lung-normal", "model")
    assert not artefact.use_after_commit and artefact.finalize
    (file,) = artefact.manifest.contents
    assert file.path == "best.ckpt" and Path(file.local_path) == codebook.checkpoint_file("best").resolve()

    detector = fit(tiny("stage=detector", "logger=wandb", f"codebook_run={codebook.folder}", name="detector"))
    used_by = one_run(detector.folder)
    (used,) = used_by.artefacts
    assert used.use_after_commit and used.user_created  # an input, not an output
    assert (used.name, used.type, used.digest) == (artefact.name, artefact.type, artefact.digest)
    assert used_by.config["codebook"] == {"run": str(codebook.folder), "wandb_run": made.run.run_id}
    assert used_by.run.job_type == "detector" and used_by.run.run_group == "detector"
    assert [row["_step"] for row in used_by.rows] == [0, 1, 2, 3]


def test_a_method_on_the_codebook_is_linked_and_one_without_is_not(tiny, codebook):
    common = ["stage=baseline", "logger=wandb", "trainer.max_steps=2"]
    residual = fit(tiny(*common, "baseline=vqvae_residual", f"codebook_run={codebook.folder}", name="residual"))
    (used,) = one_run(residual.folder).artefacts
    assert used.use_after_commit and used.name == "codebook-codebook"
    assert one_run(residual.folder).config["codebook"] == {"run": str(codebook.folder)}  # not a W&B run itself
    small = ["baseline=ae", "baseline.channels=[8,16]", "baseline.bottleneck=4"]
    plain = one_run(fit(tiny(*common, *small, name="ae")).folder)
    assert not plain.artefacts and "codebook" not in plain.config


def test_training_anew_in_a_finished_folder_is_a_new_run(tiny):
    settings = tiny("stage=codebook", "logger=wandb")
    run = fit(settings)
    fit(settings)
    first, second = (OfflineRun(finished(file)) for file in files_of(run.folder))
    assert first.run.run_id != second.run.run_id
    assert [row["_step"] for row in first.rows] == [row["_step"] for row in second.rows] == [0, 1, 2, 3, 4]
