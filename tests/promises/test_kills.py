"""Work that is killed at random moments and started again: nothing half-written is taken, nothing is lost.

``KILLS`` is the number of kills of each kind, ``KILL_SEED`` makes other moments; ``TALLY`` is a file that counts them.
"""

import json
import os
import random
import shutil

import pytest
import torch
import yaml

from anomask.report.record.saved import read_scores
from anomask.runs import Run
from tests.preparation.made import ones, tree
from tests.promises import works
from tests.promises.killing import attempt
from tests.promises.tally import tally

KILLS = int(os.environ.get("KILLS", "10"))
SEED = int(os.environ.get("KILL_SEED", "0"))
pytestmark = pytest.mark.slow


def killed(what, log, used, work, *arguments, look=lambda: None, made=None):
    """Kill a piece of work `KILLS` times, each time started again; look at what is there; let it end at last.

    Args:
        what: it is, in the tally.
        log: file for what it says.
        used: seconds of CPU time that it takes uninterrupted.
        work, arguments: see `attempt`.
        look: raises where something half-written would be taken.
        made: what the work makes and goes on with; where it was done before the kill came, it begins anew.
    """
    moments, kills, attempts = random.Random(f"{SEED} {what} {used}"), 0, 0
    while kills < KILLS:
        attempts += 1
        assert attempts <= 10 * KILLS, "next to no kill comes in time"
        in_time = attempt(log, work, *arguments, kill_at=moments.uniform(0, used))[1]
        kills += in_time
        look()
        if not in_time and made is not None:
            shutil.rmtree(made)
    attempt(log, work, *arguments)
    look()
    tally("kills", what, kills)


def whole_files(run):
    """Every file of a run that has its name is whole."""
    for file in run.folder.rglob("*"):
        if file.name.startswith(".") or not file.is_file():
            continue
        if file.suffix == ".ckpt":
            assert {"settings", "state_dict"} <= torch.load(file, weights_only=True).keys()
        elif file.suffix == ".json":
            json.loads(file.read_text())
        elif file.suffix == ".yaml":
            assert yaml.safe_load(file.read_text()) is not None
    if run.finished and run.read_settings()["stage"]["name"] == "detector":
        assert run.read_threshold() and run.read_normal_scores()


def assert_same_run(one, other):
    for which in ("best", "last"):
        first, second = (run.load_checkpoint(which)["state_dict"] for run in (one, other))
        assert all(torch.equal(first[name], value) for name, value in second.items()), which
    assert one.read_validation() == other.read_validation() and one.finished and other.finished
    assert [run.read_cost()["steps"] for run in (one, other)] == [24, 24]
    if one.threshold_file.exists():
        assert one.read_normal_scores() == other.read_normal_scores()


TRAININGS = [
    f"{stage}{augmented}{workers}"
    for stage in ("codebook", "detector")
    for augmented in ("", ", augmented")
    for workers in ("", ", two workers")
]
CACHED = "detector, slices and features cached on disk"


@pytest.mark.parametrize("what", [*TRAININGS, CACHED])
def test_a_killed_training_goes_on_to_what_an_uninterrupted_one_is(what, toy_folder, codebook, tmp_path):
    overrides = ["stage=codebook"] if "codebook" in what else ["stage=detector", f"codebook_run={codebook.folder}"]
    overrides += ["augment=ct"] * ("augmented" in what) + ["+data.num_workers=2"] * ("workers" in what)
    overrides += ["stage.cache=disk", "data.cache=disk"] * (what == CACHED)
    work = works.trained_anew if what == CACHED else works.trained
    one, other, log = tmp_path / "one", tmp_path / "other", tmp_path / "log"
    used, _ = attempt(log, work, one, toy_folder, "run", *overrides)
    run = Run(other / "runs/run")
    killed(what, log, used, work, other, toy_folder, "run", *overrides, look=lambda: whole_files(run), made=run.folder)
    assert_same_run(Run(one / "runs/run"), run)
    assert not [file for file in run.folder.rglob(".*.part*") if file.is_file()]


def contents(folder):
    """All files but those that say how long it took."""
    return {name: text for name, text in tree(folder).items() if not name.endswith(".log")} if folder.is_dir() else None


def test_a_killed_evaluation_leaves_the_earlier_one_or_the_new_one(toy_folder, detector, tmp_path):
    folder, log = detector.folder / "evaluation" / toy_folder.name, tmp_path / "log"
    ends = []
    for changes in ({"bootstrap": 40}, {"bootstrap": 60, "maps": True}):
        used, _ = attempt(log, Evaluation(changes), detector.folder)
        ends.append(contents(folder))
    assert ends[0] != ends[1]

    def look():
        assert contents(folder) in ends and len(read_scores(folder)) == 22

    killed("evaluation over an earlier one", log, used, Evaluation({"bootstrap": 40}), detector.folder, look=look)
    assert contents(folder) == ends[0]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]  # nothing is left over
    shutil.rmtree(folder)
    killed(
        "evaluation",
        log,
        used,
        Evaluation({"bootstrap": 60, "maps": True}),
        detector.folder,
        look=lambda: first(folder, ends),
    )


def first(folder, ends):
    assert contents(folder) in (None, *ends)


def test_a_killed_prediction_leaves_the_earlier_one_or_the_new_one(toy_folder, detector, tmp_path):
    place, log = toy_folder / "test/normal", tmp_path / "log"
    folder, ends = detector.prediction_folder("normal"), []
    for changes in ({"min_pixels": 4}, {"min_pixels": 1, "overlays": True}):
        used, _ = attempt(log, Prediction(changes), detector.folder, place)
        ends.append(contents(folder))
    assert ends[0] != ends[1]

    def look():
        assert contents(folder) in ends

    killed(
        "prediction over an earlier one", log, used, Prediction({"min_pixels": 4}), detector.folder, place, look=look
    )
    assert contents(folder) == ends[0] and not list(folder.parent.glob(".*"))


class Evaluation:
    """An evaluation with settings of its own."""

    __name__ = "evaluation"

    def __init__(self, changes):
        self.changes = changes

    def __call__(self, folder):
        works.evaluated_here(folder, **self.changes)


class Prediction(Evaluation):
    """A prediction with settings of its own."""

    __name__ = "prediction"

    def __call__(self, folder, place):
        works.predicted_here(folder, place, **self.changes)


def test_a_killed_preparation_goes_on_to_the_same_slices(tmp_path):
    ones(tmp_path / "in", patients=8)
    log, key = tmp_path / "log", tmp_path / "key"
    used, _ = attempt(log, works.prepared, tmp_path / "in", tmp_path / "one", key)
    killed("preparation", log, used, works.prepared, tmp_path / "in", tmp_path / "other", key, made=tmp_path / "other")
    one, other = (tree(tmp_path / out) for out in ("one", "other"))
    assert one.keys() == other.keys() and all(other[name] == text for name, text in one.items() if "png" in name)
    assert one["manifest.csv"] == other["manifest.csv"]


def test_a_killed_sweep_goes_on_to_the_same_runs(toy_folder, tmp_path):
    homes, log = [tmp_path / name for name in ("one", "other")], tmp_path / "log"
    for home in homes:
        home.mkdir()
    used, _ = attempt(log, works.swept, homes[0], toy_folder)
    killed("sweep of two jobs", log, used, works.swept, homes[1], toy_folder, made=homes[1] / "runs")
    jobs = [sorted((home / "runs/sweeps/two").glob("toy_*")) for home in homes]
    assert len(jobs[0]) == 2 and [job.name for job in jobs[0]] == [job.name for job in jobs[1]]
    for one, other in zip(*jobs, strict=True):
        assert_same_run(Run(one.resolve()), Run(other.resolve()))
