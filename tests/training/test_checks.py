"""What is refused before the first step, and that `anomask verify` says the same."""

from types import SimpleNamespace

import pytest
import torch

from anomask.errors import ConfigError, DataError, RunError
from anomask.report.sweep.jobs import FAILED, read_job
from anomask.scoring.threshold import conformal_threshold, normals_needed
from anomask.training import checks
from anomask.training.checks import batch_findings, codebook_findings, threshold_findings
from tests.conftest import fit, run_of
from tests.promises.test_entries import call_here


def scoring(specificity=0.95, pixel_specificity=0.99):
    return {"scoring": {"specificity": specificity, "pixel_specificity": pixel_specificity}}


@pytest.mark.parametrize("specificity", [0.5, 0.8, 0.9, 0.95, 0.975, 0.99])
def test_the_number_of_normals_is_the_least_that_fixes_a_threshold(specificity):
    needed = normals_needed(specificity)
    assert conformal_threshold([1.0] * needed, specificity) == 1.0
    with pytest.raises(ValueError, match=f"; {needed} are needed"):
        conformal_threshold([1.0] * (needed - 1), specificity)


def test_too_few_validation_normals_and_what_would_do():
    (found,) = threshold_findings(54, 6, scoring())
    assert "6 validation normals cannot fix a threshold of specificity 0.95; 19 are needed" in found.message
    assert "scoring.specificity=0.85, data.validation_share=0.32" in found.remedy
    assert not list(threshold_findings(54, 6, scoring(0.85))) and not list(threshold_findings(41, 19, scoring()))
    (found,) = threshold_findings(10, 2, scoring())
    assert "validation_share" not in found.remedy  # more than half of the slices would be held out


@pytest.mark.parametrize("wrong", [{"specificity": 1.0}, {"specificity": 0}, {"pixel_specificity": 1.5}])
def test_a_specificity_that_is_none(wrong):
    (found,) = threshold_findings(500, 500, scoring(**wrong))
    assert "a number between 0 and 1 is wanted" in found.message


def test_a_batch_that_is_larger_than_the_set():
    (found,) = batch_findings(12, {"batch_size": 16})
    assert "16, and there are 12" in found.message and "data.batch_size=12" in found.remedy
    assert not list(batch_findings(16, {"batch_size": 16}))


def test_a_codebook_with_more_codes_than_tokens():
    vqvae = SimpleNamespace(size=32, stride=8, quantiser=SimpleNamespace(n_codes=33))
    (found,) = codebook_findings(2, {}, vqvae)
    assert "n_codes is 33; 2 training normals have 32 tokens" in found.message
    vqvae.quantiser.n_codes = 32
    assert not list(codebook_findings(2, {}, vqvae))


def test_no_room_for_checkpoints(tmp_path, monkeypatch):
    stage = torch.nn.Linear(1000, 1000)  # 4 MB, twice as much for the optimiser, in three files
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda place: SimpleNamespace(free=35_000_000))
    with pytest.raises(RunError, match="35 MB are free .* need 36 MB.*ANOMASK_RUNS"):
        checks.require_room(stage, tmp_path / "runs/new/one")
    stage.bias.requires_grad_(False)
    stage.weight.requires_grad_(False)
    checks.require_room(stage, tmp_path / "runs/new/one")


def test_a_detector_is_refused_before_its_first_step_and_its_job_says_why(tiny, codebook):
    settings = tiny("stage=detector", f"codebook_run={codebook.folder}", "scoring.specificity=0.95")
    with pytest.raises(DataError, match="12 validation normals .* 19 are needed. Use scoring.specificity=0.92"):
        fit(settings)
    run = run_of(settings)
    assert not (run.folder / "checkpoints").exists()
    job = read_job("job", run.folder, [])
    assert job.state == FAILED and job.settings["scoring.specificity"] == 0.95
    assert job.notes[0].startswith("failed: 12 validation normals cannot fix a threshold")


def test_a_codebook_is_warned_of_what_its_detector_will_be_refused_for(tiny, caplog):
    settings = tiny("stage=codebook", "scoring.specificity=0.95", "data.batch_size=25")
    with pytest.raises(ConfigError, match="data.batch_size is 25, and there are 24"):
        fit(settings)
    assert "a detector on this codebook will be refused: 12 validation normals" in caplog.text


def test_verify_says_the_same(toy_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ANOMASK_CACHE", str(tmp_path))
    assert call_here("verify", f"folder={toy_folder}", "data.batch_size=32", monkeypatch=monkeypatch) == 1
    text = capsys.readouterr().out
    assert "ERROR few validation normals (1)\n  7 validation normals cannot fix" in text
    assert "ERROR large batch (1)\n  data.batch_size is 32, and there are 29 training normals" in text
    assert "2 errors, 0 warnings" in text
    possible = ["scoring.specificity=0.8", "data.batch_size=29"]
    assert call_here("verify", f"folder={toy_folder}", *possible, monkeypatch=monkeypatch) == 0
    assert "0 errors, 0 warnings" in capsys.readouterr().out
