"""Runs as a user starts and takes them up: a folder each, found before anything is made, never another's."""

import logging
import shutil

import pytest
from hydra.core.hydra_config import HydraConfig

from anomask.files import new_folder
from anomask.runs import Run
from tests.conftest import TINY
from tests.promises.test_entries import call_here


@pytest.fixture
def train(toy_folder, tmp_path, monkeypatch, capfd, caplog):
    """Call anomask train with tiny settings, or exactly as given; returns exit code and what was said."""
    monkeypatch.setenv("ANOMASK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("ANOMASK_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(*overrides, tiny=False):
        given = [*TINY, f"data.folder={toy_folder}", *overrides] if tiny else overrides
        try:
            code = call_here("train", *given, monkeypatch=monkeypatch)
        finally:
            HydraConfig.instance().cfg = None
            logging.getLogger().handlers.clear()
        said = capfd.readouterr()
        return code, said.out + said.err + caplog.text  # what is said before Hydra sets logging up is there alone

    return run


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["resume=nosuch"], "no codebook or detector or baseline run at 'nosuch'"),
        (["resume=runs/nosuch"], "no codebook or detector or baseline run at 'runs/nosuch'"),
        (["resume=codebook/checkpoints/nosuch.ckpt"], "no codebook or detector or baseline run"),
        (["-m", "resume=codebook"], "a sweep goes on when it is started again"),
        (["resume=codebook,detector"], "no codebook or detector or baseline run at 'codebook,detector'"),
        (["resume=codebook", "seed=77"], "seed cannot be changed when a run goes on"),
        (["resume=codebook", "+callbacks.best.x=1"], "callbacks.best.x cannot be changed"),
    ],
)
def test_what_cannot_be_resumed_is_one_line_and_makes_nothing(overrides, said, train, codebook, tmp_path):
    before = files(tmp_path)
    code, text = train(*overrides)
    assert code == 1 and said in text and "Traceback" not in text
    assert files(tmp_path) == before


@pytest.mark.parametrize("what", ["codebook", "runs/codebook", "runs/codebook/checkpoints/last.ckpt"])
def test_a_run_is_resumed_by_name_folder_or_checkpoint_and_keeps_how_it_began(what, train, codebook, tmp_path):
    began = codebook.folder / ".hydra/config.yaml"
    began.parent.mkdir()
    began.write_text("how it began")
    codebook.cost_file.unlink()
    code, text = train(f"resume={what}", "progress=false")
    assert code == 0, text
    assert codebook.finished and began.read_text() == "how it began"
    assert not (tmp_path / "codebook").exists() and (tmp_path / "runs/latest").resolve() == codebook.folder


def test_a_finished_run_has_nothing_to_resume_until_more_is_wanted(train, codebook):
    code, text = train("resume=codebook")
    assert code == 0 and "finished before; nothing to do" in text
    code, text = train("resume=codebook", "trainer.max_steps=5")
    assert code == 0, text
    assert codebook.read_cost()["steps"] == 5 and codebook.read_settings()["trainer"]["max_steps"] == 5


def test_the_folder_of_another_run_is_refused_and_that_of_the_same_one_left(train, toy_folder, tmp_path):
    place = f"run={tmp_path}/runs/mine"
    assert train("stage=codebook", place, tiny=True)[0] == 0
    run = Run(tmp_path / "runs/mine")
    before = run.settings_file.read_bytes(), run.checkpoint_file("best").stat().st_mtime_ns
    code, text = train("stage=codebook", place, "seed=1", tiny=True)
    assert code == 1 and "mine holds a run with another data.seed, seed. Name a new folder" in text
    code, text = train("stage=codebook", place, tiny=True)
    assert code == 0 and "finished before" in text
    assert (run.settings_file.read_bytes(), run.checkpoint_file("best").stat().st_mtime_ns) == before


def test_two_runs_of_one_second_have_a_folder_each(train, tmp_path, monkeypatch):
    from anomask.training import train as entry

    monkeypatch.setattr(entry, "train", lambda settings, run, resume: run.write_settings(settings))
    monkeypatch.setattr("anomask.commands.train._say_next", lambda *_: None)
    monkeypatch.setattr("anomask.commands.claim.new_folder", lambda path: new_folder(path.with_name("noon")))
    for seed in (0, 1):
        assert train("stage=codebook", "name=same", f"seed={seed}", tiny=True)[0] == 0
    runs = [Run(tmp_path / "runs/same" / name) for name in ("noon", "noon_2")]
    assert [run.read_settings()["seed"] for run in runs] == [0, 1]
    assert all(f"seed: {seed}\n" in (run.folder / ".hydra/config.yaml").read_text() for seed, run in enumerate(runs))
    assert [run.read_settings()["run"] for run in runs] == [str(run.folder) for run in runs]


def test_the_last_step_is_kept_whatever_the_interval(train, tmp_path):
    for number, more in enumerate(
        (
            ["trainer.max_steps=3"],
            ["trainer.max_steps=-1", "trainer.max_epochs=1"],
            ["trainer.check_val_every_n_epoch=5"],
        )
    ):
        interval = "trainer.val_check_interval=200" if number < 2 else "trainer.val_check_interval=1.0"
        code, text = train("stage=codebook", f"run={tmp_path}/runs/{number}", interval, *more, tiny=True)
        assert code == 0, text
        run = Run(tmp_path / "runs" / str(number))
        steps = 4 if number == 2 else 3
        assert run.finished and run.load_checkpoint("last")["global_step"] == run.read_cost()["steps"] == steps


def test_the_last_line_says_what_was_tracked_where(train, tmp_path):
    code, text = train("stage=codebook", f"run={tmp_path}/runs/x", "logger=wandb", tiny=True)
    assert code == 0
    (line,) = [line for line in text.splitlines() if "tracked: " in line]
    assert f"W&B offline, uploaded later with: wandb sync {tmp_path}/runs/x/wandb" in line
    assert list((tmp_path / "runs/x/wandb").glob("offline-run-*"))


def test_a_run_that_was_moved_away_leaves_its_name_usable(train, codebook, tmp_path):
    Run(codebook.folder).link_latest()
    shutil.move(codebook.folder, tmp_path / "elsewhere")
    code, text = train("resume=elsewhere")
    assert code == 0 and "nothing to do" in text
