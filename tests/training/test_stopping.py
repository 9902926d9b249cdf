"""SIGTERM and Ctrl-C: the step is kept, the way to go on is said, and the resumed run equals an uninterrupted one."""

import csv
import logging
import shutil
import signal

import pytest
import torch

from anomask.interruption import Stopped, stoppable
from anomask.runs import Run
from anomask.settings.resume import parse
from anomask.training import train as entry
from anomask.training.resume import go_on, resumption
from tests.conftest import fit, run_of
from tests.promises.test_entries import call_here
from tests.training.faults import Signal

STEPS = ["trainer.max_steps=7", "trainer.val_check_interval=2", "stage.monitor=val/loss", "stage.monitor_mode=min"]


def stopped(settings, *where):
    """Train until a signal ends it; return the run."""
    original = entry.callbacks_of
    with pytest.MonkeyPatch.context() as patched, pytest.raises(Stopped) as stop:
        patched.setattr(entry, "callbacks_of", lambda s, run: [*original(s, run), Signal(*where)])
        fit(settings)
    assert stop.value.code == 128 + where[1]
    return run_of(settings)


def moved(run):
    """Move a run, and leave a file where it was: what wrote there would fail."""
    place = run.folder.with_name(f"{run.folder.name}_moved")
    run.folder.rename(place)
    run.folder.write_text("nothing is written here")
    return Run(place)


def resumed(run, *overrides):
    go_on(resumption(str(run.folder), "runs", parse(overrides)))
    return run


def assert_same(first, second):
    for which in ("best", "last"):
        one, other = (run.load_checkpoint(which) for run in (first, second))
        assert one["global_step"] == other["global_step"]
        assert all(torch.equal(one["state_dict"][name], value) for name, value in other["state_dict"].items()), which
    assert first.read_validation() == second.read_validation()


@pytest.fixture(scope="module")
def whole():
    """The codebook run that nobody interrupts, made by the first test that asks for it."""
    return {}


@pytest.mark.parametrize(
    ("at", "hook"),
    [
        (1, "on_train_batch_end"),
        pytest.param(2, "on_train_batch_end", marks=pytest.mark.slow),  # a validation comes
        (3, "on_train_batch_end"),  # the last of an epoch
        pytest.param(5, "on_train_batch_start", marks=pytest.mark.slow),
        (4, "on_validation_start"),
        pytest.param(7, "on_train_batch_end", marks=pytest.mark.slow),  # the last of all
    ],
)
def test_a_stopped_and_moved_run_that_goes_on_equals_an_uninterrupted_one(at, hook, tiny, whole, caplog):
    common = ["stage=codebook", "augment=ct", *STEPS]
    if not whole:
        whole["run"] = fit(tiny(*common, name="whole"))
    run = stopped(tiny(*common, name="cut"), at, signal.SIGTERM, hook)
    assert f"interrupted (SIGTERM) at step {at + (hook == 'on_train_batch_start')}. Go on with: " in caplog.text
    assert f"anomask train resume={run.folder}" in caplog.text
    assert not run.finished and run.checkpoint_file("last").is_file()
    run = resumed(moved(run))
    assert run.finished and run.read_settings()["run"] == str(run.folder)
    assert_same(whole["run"], run)
    assert rows_of(run) == rows_of(whole["run"])


def rows_of(run):
    """Return what was logged at each step: validation figures, and the codebook's use in each epoch."""
    found = set()
    for file in run.folder.glob("metrics*.csv"):
        with file.open(newline="") as stream:
            for row in csv.DictReader(stream):
                kept = {name for name, value in row.items() if value and name.startswith(("val/", "codebook/"))}
                found |= {(int(row["step"]), name, row[name]) for name in kept}
    return found


def test_a_detector_goes_on_alike_and_fixes_the_threshold_of_an_uninterrupted_one(tiny, codebook):
    common = ["stage=detector", f"codebook_run={codebook.folder}", "stage.optimisation.schedule=constant", *STEPS]
    expected = fit(tiny(*common, name="whole"))
    run = resumed(moved(stopped(tiny(*common, name="cut"), 3, signal.SIGINT)))
    assert_same(expected, run)
    assert expected.read_threshold()["threshold"] == run.read_threshold()["threshold"]
    assert expected.read_normal_scores() == run.read_normal_scores()


def test_before_the_first_step_a_signal_ends_at_once_and_the_run_begins_again(tiny, caplog):
    run = stopped(tiny(), 0, signal.SIGINT, "on_fit_start")
    assert "interrupted (SIGINT). Nothing is kept yet" in caplog.text
    assert resumed(run).finished and "has no checkpoint yet; it begins at step 0" in caplog.text


def test_a_copy_leaves_the_original_alone(tiny, tmp_path):
    run = stopped(tiny(), 3, signal.SIGTERM)
    before = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    copy = Run(shutil.copytree(run.folder, tmp_path / "copy"))
    assert resumed(copy).finished
    assert {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()} == before


def test_a_run_that_stopped_early_and_was_cut_off_then_trains_no_further(tiny):
    early = "_target_:pytorch_lightning.callbacks.EarlyStopping,monitor:val/loss,patience:1,min_delta:100"
    run = stopped(tiny("trainer.max_steps=20", f"+callbacks.early={{{early}}}"), 4, signal.SIGTERM, "on_train_end")
    assert resumed(run).finished
    assert run.load_checkpoint("last")["global_step"] == run.read_cost()["steps"] == 4


def test_a_damaged_last_checkpoint_falls_back_to_the_best_with_a_line(tiny, caplog):
    run = stopped(tiny("trainer.max_steps=6"), 3, signal.SIGTERM)
    file = run.checkpoint_file("last")
    file.write_bytes(file.read_bytes()[:999])
    with caplog.at_level(logging.WARNING):
        assert resumed(run).finished
    assert "goes on from best.ckpt: last.ckpt is missing or damaged" in caplog.text
    assert run.load_checkpoint("last")["global_step"] == 6


def test_a_run_is_trained_for_longer_and_only_if_that_is_asked_for(tiny, caplog):
    run = fit(tiny())
    before = run.checkpoint_file("last").stat().st_mtime_ns
    with caplog.at_level(logging.INFO):
        resumed(run, "trainer.max_steps=4", "verify=false")
    assert "finished before; nothing to do" in caplog.text
    assert run.checkpoint_file("last").stat().st_mtime_ns == before
    resumed(run, "trainer.max_steps=6")
    assert run.finished and run.read_cost()["steps"] == run.load_checkpoint("last")["global_step"] == 6
    assert run.read_settings()["trainer"]["max_steps"] == 6
    with pytest.raises(ValueError, match="trainer.max_steps is 5, and the run has made 6 steps"):
        resumed(run, "trainer.max_steps=5")


def test_a_finished_detector_gets_another_threshold_without_training(detector):
    before, steps = detector.read_threshold(), detector.read_cost()["steps"]
    last = detector.checkpoint_file("last").read_bytes()
    resumed(detector, "scoring.specificity=0.5")
    after = detector.read_threshold()
    assert after["specificity"] == 0.5 and after["threshold"] == sorted(detector.read_normal_scores())[6]
    assert after["threshold"] < before["threshold"] and detector.finished and detector.read_cost()["steps"] == steps
    assert detector.load_checkpoint("best")["settings"]["scoring"]["specificity"] == 0.5
    assert detector.checkpoint_file("last").read_bytes() == last


def test_another_codebook_is_refused(tiny, codebook):
    run = stopped(tiny("stage=detector", f"codebook_run={codebook.folder}", name="cut"), 3, signal.SIGTERM)
    other = fit(tiny("seed=5", name="other"))
    with pytest.raises(ValueError, match="other is not the codebook that this run began with"):
        resumed(run, f"codebook_run={other.folder}")
    place = codebook.folder.with_name("elsewhere")
    codebook.folder.rename(place)
    assert resumed(run, f"codebook_run={place}").finished


@pytest.mark.parametrize("entry", ["evaluate", "predict"])
def test_a_signal_ends_a_command_in_one_line(entry, monkeypatch, capfd):
    monkeypatch.setattr("anomask.runs.find_run", lambda *_: signal.raise_signal(signal.SIGTERM))
    given = ["run=x", *(["input=x"] if entry == "predict" else [])]
    assert call_here(entry, *given, monkeypatch=monkeypatch) == 143
    said = capfd.readouterr()
    assert "ended by SIGTERM" in said.out and "Traceback" not in said.out + said.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_command_with_its_code_and_cleans_up(number):
    before, cleaned = signal.getsignal(number), []
    with pytest.raises(SystemExit) as stop, stoppable():
        try:
            signal.raise_signal(number)
        except Exception:  # what libraries do
            pytest.fail("kept")
        finally:
            cleaned.append(True)
    assert stop.value.code == 128 + number and cleaned and signal.getsignal(number) == before
