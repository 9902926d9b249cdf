"""Sweeps: a job's folder is named by its settings, what is done is skipped, what was cut off goes on."""

import json
import logging
import shutil
import signal
import subprocess
import sys

import pytest
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException

from anomask.commands.train import main
from anomask.errors import ConfigError, RunError
from anomask.runs.folder import Run
from anomask.settings.key import settings_key
from anomask.sweeps.job import find_finished
from anomask.training import train as entry
from anomask.training.jobs import has_begun
from hydra_plugins.anomask_jobs import read_jobs
from tests.conftest import TINY, fit, settings_of


@pytest.fixture
def sweep(toy_folder, tmp_path, monkeypatch):
    """Run anomask train -m in this process, as sweep("seed=0,1"); returns the runs in the sweep's folder."""
    fixed = [f"data.folder={toy_folder}", f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache", "name=toy"]

    def run(*overrides, label="swept"):
        monkeypatch.setattr(sys, "argv", ["train", "-m", *TINY, *fixed, f"sweep={label}", *overrides])
        try:
            main()
        finally:
            HydraConfig.instance().cfg = None
            logging.getLogger().handlers.clear()
        return [Run(link.resolve()) for link in sorted((tmp_path / "runs/sweeps" / label).iterdir()) if link.is_dir()]

    return run


def weights(run, which="best"):
    return run.load_checkpoint(which)["state_dict"]


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_key_names_what_is_learned_and_nothing_else(tiny):
    key = settings_key(tiny())
    assert len(key) == 12 and key == settings_key(tiny(name="elsewhere"))
    assert key == settings_key(tiny("logger=tensorboard", "sweep=other", "verify=false"))
    for change in ("seed=1", "model.width=32", "trainer.max_steps=5", "data.batch_size=4"):
        assert settings_key(tiny(change)) != key, change


def test_the_key_of_a_codebook_leaves_out_what_stage_2_reads(tiny):
    keys = [settings_key(tiny(change)) for change in ("seed=0", "synthesiser.share=0.3", "scoring.mirror=false")]
    assert len(set(keys)) == 1, "tiny trains a codebook"
    assert settings_key(tiny("model.quantiser.n_codes=9")) != keys[0]
    changes = ("seed=0", "synthesiser.share=0.3", "scoring.mirror=false")
    assert len({settings_key(tiny("stage=detector", change)) for change in changes}) == 3


def test_finished_jobs_are_skipped_and_new_ones_are_trained(sweep, monkeypatch):
    first = sweep("seed=0,1")
    assert [run.read_settings()["seed"] for run in first] in ([0, 1], [1, 0])
    assert all(run.folder.name == settings_key(run.read_settings()) for run in first)
    stamps = {run.folder: run.checkpoint_file("best").stat().st_mtime_ns for run in first}
    assert (first[0].folder.parent / "latest").is_symlink()

    trained = []
    original = entry.train
    monkeypatch.setattr(
        entry, "train", lambda *args, **named: (trained.append(args[0]["seed"]), original(*args, **named))
    )
    again = sweep("seed=0,1,2")
    assert trained == [2] and len(again) == 3
    assert all(run.checkpoint_file("best").stat().st_mtime_ns == stamps.get(run.folder) for run in first)


def test_a_run_trained_outside_the_sweep_counts(sweep, tiny, tmp_path, monkeypatch):
    by_hand = fit(tiny("name=toy", name="toy/2026-01-31_12-00-00"))
    monkeypatch.setattr(entry, "train", lambda *args, **named: pytest.fail("trained again"))
    (found,) = sweep("seed=0")
    assert found.folder == by_hand.folder
    planned = Run(by_hand.folder.parent / settings_key(tiny("name=toy")))
    assert find_finished(planned) == by_hand
    assert find_finished(Run(by_hand.folder.parent / ("0" * 12))) is None


class Killed(pl.Callback):
    """Ends the process in the middle of the second job."""

    def on_train_batch_start(self, trainer, stage, *_):
        if stage.seed == 1 and trainer.global_step == 3:
            raise SystemExit("killed")


@pytest.mark.slow
def test_a_sweep_killed_half_way_and_started_again_ends_with_the_same_records(sweep, monkeypatch):
    whole = sweep("seed=0,1,2,3", label="whole")
    expected = {run.read_settings()["seed"]: (weights(run), run.read_validation()) for run in whole}
    for run in whole:
        (run.folder).rename(run.folder.parent / f"aside_{run.folder.name}")
        (run.folder.parent / f"aside_{run.folder.name}" / "cost.json").unlink()  # not finished: not to be found

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        original = entry.callbacks_of
        patched.setattr(entry, "callbacks_of", lambda settings, run: [*original(settings, run), Killed()])
        sweep("seed=0,1,2,3", label="cut")
    resumed = []
    original = entry.train
    monkeypatch.setattr(
        entry, "train", lambda s, run, resume: (resumed.append((s["seed"], bool(resume))), original(s, run, resume))
    )
    cut = sweep("seed=0,1,2,3", label="cut")
    assert resumed == [(1, True), (2, False), (3, False)]
    for run in cut:
        seed = run.read_settings()["seed"]
        assert same(weights(run), expected[seed][0]) and run.read_validation() == expected[seed][1]


def test_a_last_checkpoint_that_was_cut_off_is_left_aside(tiny, caplog):
    run = fit(tiny())
    assert has_begun(run)
    for name, said in (("last", "goes on from its best checkpoint"), ("best", "This run begins again")):
        file = run.checkpoint_file(name)
        file.write_bytes(file.read_bytes()[:1000])
        with caplog.at_level(logging.WARNING):
            assert has_begun(run) == (run.checkpoint_file("best") if name == "last" else None)
        assert f"{name}.ckpt cannot be read" in caplog.text and said in caplog.text


def test_one_failed_job_leaves_the_others_alone_and_the_exit_code_counts(sweep, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        sweep("seed=0", "trainer.accumulate_grad_batches=3,1,5")
    out, said = capsys.readouterr()
    assert f"next: anomask sweep sweep={tmp_path}/runs/sweeps/swept\n" in out
    assert stop.value.code == 2 and "2 of 3 jobs failed" in said
    assert "data.batch_size 8 (of all processes together)" in said and "Traceback" not in said
    assert sum(run.finished for run in sweep("seed=0")) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            OSError(13, "Permission denied", "/cache"),
            "Permission denied: '/cache'. Correct the path, or its permissions.",
        ),
        (OSError(28, "No space left on device"), "Free space, or choose another folder."),
        (KeyError("lung_masks"), "KeyError: 'lung_masks'"),
        (MemoryError("too large"), "MemoryError: too large"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_whatever_a_jobs_fault_is_it_is_its_own(fault, said, sweep, monkeypatch, capsys):
    trained = []

    def train(settings, run, resume):
        trained.append(settings["seed"])
        if settings["seed"] == 1:
            raise fault

    monkeypatch.setattr(entry, "train", train)
    with pytest.raises(SystemExit) as stop:
        sweep("seed=0,1,2")
    assert stop.value.code == 1 and trained == [0, 1, 2]
    assert "1 of 3 jobs failed" in (text := capsys.readouterr().err) and said in text
    assert ("Free space" in text) == (getattr(fault, "errno", None) == 28)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_whole_sweep_with_its_code(number, sweep, monkeypatch):
    trained = []

    def train(settings, run, resume):
        trained.append(settings["seed"])
        signal.raise_signal(number)

    monkeypatch.setattr(entry, "train", train)
    with pytest.raises(SystemExit) as stop:
        sweep("seed=0,1,2")
    assert stop.value.code == 128 + number and trained == [0]


def test_a_job_whose_data_have_grown_says_so(toy_folder, tmp_path, sweep, capsys):
    data = shutil.copytree(toy_folder, tmp_path / "grown")
    sweep("seed=0", f"data.folder={data}")
    picture = data / "train/normal/n000.png"
    (data / "train/normal/n100.png").write_bytes(picture.read_bytes() + b"x")
    with pytest.raises(SystemExit):
        sweep("seed=0", f"data.folder={data}")
    assert f"was trained on other data than {data} holds today" in capsys.readouterr().err
    (data / "train/normal/n100.png").unlink()
    assert len(sweep("seed=0", f"data.folder={data}")) == 1


def test_jobs_of_another_patience_are_other_jobs(sweep):
    stop = "+callbacks.stop={_target_:pytorch_lightning.callbacks.EarlyStopping,monitor:val/loss}"
    runs = sweep(stop, "+callbacks.stop.patience=1,2")
    assert sorted(run.read_settings()["callbacks"]["stop"]["patience"] for run in runs) == [1, 2]


def test_a_folder_that_no_longer_is_its_job_is_not_taken_for_it(sweep):
    (run,) = sweep("seed=0")
    settings = run.read_settings()
    settings["trainer"]["max_steps"] = 6  # as after resume=<run> trainer.max_steps=6
    run.write_settings(settings)
    with pytest.raises(RunError, match="named by settings that are no longer those of the run in it"):
        find_finished(run)


def test_a_job_on_a_codebook_that_was_trained_again_says_so(sweep, tiny, capsys):
    fit(tiny("name=book", name="book/first")).link_latest()
    (job,) = sweep("stage=detector", "codebook_run=book")
    assert job.read_cost()["codebook"]["run"] == "book/first"
    fit(tiny("name=book", "seed=5", name="book/second")).link_latest()
    with pytest.raises(SystemExit):
        sweep("stage=detector", "codebook_run=book")
    assert "trained on the codebook book/first; codebook_run means book/second today" in capsys.readouterr().err


def test_other_maps_and_scores_take_the_weights_of_a_trained_run(sweep, tiny, codebook):
    common = ["stage=detector", f"codebook_run={codebook.folder}"]
    trained = fit(tiny(*common, name="toy/trained"))
    other = fit(tiny(*common, f"weights_run={trained.folder}", "scoring.anomaly_map.map=residual", name="other"))
    assert same(weights(trained), weights(other)) and not other.checkpoint_file("last").exists()
    assert other.read_threshold()["threshold"] != trained.read_threshold()["threshold"]
    assert other.read_cost()["seconds"] == trained.read_cost()["seconds"] and other.read_cost()["steps"] == 4
    assert other.load_checkpoint("best")["settings"]["scoring"]["anomaly_map"]["map"] == "residual"
    with pytest.raises(ConfigError, match=r"was trained with seed = 0, this run says 3"):
        fit(tiny(*common, f"weights_run={trained.folder}", "seed=3", name="third"))


def test_the_validation_figure_is_the_best_checkpoints(tiny):
    run = fit(tiny())
    found = run.read_validation()
    assert (found["monitor"], found["mode"]) == ("val/reconstruction", "min")
    lines = [line.split(",") for line in (run.folder / "metrics.csv").read_text().splitlines()]
    column = lines[0].index("val/reconstruction")
    assert found["value"] == pytest.approx(min(float(line[column]) for line in lines[1:] if line[column]))


def command(folder, toy_folder, *overrides):
    fixed = [f"data.folder={toy_folder}", f"paths.runs={folder}/runs", f"paths.cache={folder}/cache", "name=toy"]
    return [sys.executable, "-m", "anomask", "train", "-m", *TINY, *fixed, *overrides]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_launchers_run_two_jobs_each_in_a_process_of_its_own(launcher, tmp_path, toy_folder):
    overrides = [f"hydra/launcher={launcher}", "seed=0,1", "sweep=two"]
    if launcher == "joblib":
        overrides.append("hydra.launcher.n_jobs=2")
    done = subprocess.run(command(tmp_path, toy_folder, *overrides), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    runs = [Run(link.resolve()) for link in (tmp_path / "runs/sweeps/two").iterdir() if link.is_symlink()]
    assert sorted(run.read_settings()["seed"] for run in runs) == [0, 1] and all(run.finished for run in runs)


@pytest.mark.slow
def test_a_file_of_jobs_is_no_grid(tmp_path, toy_folder):
    file = tmp_path / "jobs.txt"
    file.write_text("# two jobs\nseed=0 trainer.max_steps=2\n\nseed=1\n")
    jobs = ["hydra/sweeper=jobs", f"hydra.sweeper.file={file}"]
    done = subprocess.run(command(tmp_path, toy_folder, *jobs), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = {run["seed"]: run["trainer"]["max_steps"] for run in map(settings, (tmp_path / "runs/toy").iterdir())}
    assert found == {0: 2, 1: 4}


@pytest.mark.parametrize(("text", "wrong"), [(None, "no jobs file"), ("# none yet\n\n", "no jobs in")])
def test_a_file_without_jobs_is_an_error(text, wrong, tmp_path):
    file = tmp_path / "jobs.txt"
    if text is not None:
        file.write_text(text)
    with pytest.raises(CompactHydraException, match=rf"{wrong} .*jobs\.txt"):
        read_jobs(file)


def test_failed_jobs_of_a_file_are_counted_and_the_others_done(sweep, tmp_path, capsys):
    file = tmp_path / "jobs.txt"
    file.write_text("trainer.accumulate_grad_batches=3\nseed=1\n")
    with pytest.raises(SystemExit):
        sweep("hydra/sweeper=jobs", f"hydra.sweeper.file={file}")
    assert "1 of 2 jobs failed, the first: " in capsys.readouterr().err
    done = {file.parent.resolve() for file in (tmp_path / "runs/toy").glob("*/cost.json")}
    assert [settings(folder)["seed"] for folder in done] == [1]


def test_a_job_of_a_file_may_name_an_experiment_with_a_grid(sweep, tmp_path):
    file = tmp_path / "jobs.txt"
    file.write_text("+ablation=paper_share synthesiser.share=0.3\n")  # its grid has 0.02 to 0.4
    [run] = sweep("hydra/sweeper=jobs", f"hydra.sweeper.file={file}")
    assert run.read_settings()["synthesiser"]["share"] == 0.3


def test_a_run_of_before_weights_could_be_taken_is_resumed(tiny):
    given = tiny()
    given.pop("weights_run")
    run = fit(given)
    assert fit(run.read_settings(), resume=True).read_cost()["epochs"] == pytest.approx(4 * 8 / 24, abs=0.05)


def settings(folder):
    return Run(folder).read_settings()


@pytest.mark.parametrize(
    ("launcher", "extra"),
    [("joblib", []), ("submitit_local", []), ("submitit_slurm", ["hydra.launcher.gpus_per_node=1", "device=gpu"])],
)
def test_launchers_compose(launcher, extra):
    from hydra import compose, initialize_config_dir

    from anomask.settings.compose import CONF_FOLDER, register

    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        composed = compose("train", [f"hydra/launcher={launcher}", *extra], return_hydra_config=True)
    assert launcher.split("_")[0] in composed.hydra.launcher._target_
    assert json.dumps(settings_of(*[o for o in extra if not o.startswith("hydra")])["trainer"])
