"""Two gloo processes train both stages like one process on the joint batch, into one run folder."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch

from anomask.runs import Run
from tests.conftest import TINY, TINY_BASELINES, fit
from tests.promises.test_entries import call

STEPS = ["trainer.max_steps=6", "model.quantiser.restart_warmup=1"]  # two epochs of three steps; codes die
# float32 sums in another order differ by 1e-7; Adam's first steps make whole steps of what is nearly no gradient.
LOSS = dict(rel=2e-4, abs=1e-6)
WEIGHT = dict(rtol=0.0, atol=5e-4)  # half a step of Adam at the small learning rates of a warm-up


def logged(run, column):
    with (run.folder / "metrics.csv").open() as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


def arguments(toy_folder, *more):
    return [*TINY, *STEPS, f"data.folder={toy_folder}", *more]


def latest(folder, name):
    (run,) = (folder / "runs" / name).glob("2*")  # both processes share one run folder
    return Run(run)


def assert_alike(two, one, columns):
    for column in columns:
        found, wanted = logged(two, column), logged(one, column)
        assert len(found) == len(wanted) > 0 and found == pytest.approx(wanted, **LOSS), column
    first, second = (run.load_checkpoint("last")["state_dict"] for run in (two, one))
    for name, value in second.items():
        torch.testing.assert_close(first[name], value, **WEIGHT, msg=lambda text, name=name: f"{name}: {text}")
    bills = [run.read_cost() for run in (two, one)]
    assert [bill["devices"] for bill in bills] == ["1 x 2 cpu", "1 x 1 cpu"]
    assert bills[0]["steps"] == bills[1]["steps"] == 6 and bills[0]["slices_seen"] == bills[1]["slices_seen"] == 48


def test_two_processes_train_both_stages_like_one(toy_folder, tiny, tmp_path):
    first = arguments(toy_folder, "stage=codebook")
    call("train", "device=ddp_cpu2", "data.cache=disk", *first, folder=tmp_path)
    assert len(list((tmp_path / "cache/slices").glob("*/image.npy"))) == 1  # decoded once for both
    codebook = latest(tmp_path, "codebook")
    alone = fit(tiny("stage=codebook", *STEPS, name="alone"))
    names = ("loss", "reconstruction", "commitment")
    assert_alike(codebook, alone, [f"train/{name}" for name in names] + ["val/loss", "codebook/restarted_share"])
    assert max(logged(alone, "codebook/restarted_share")) > 0

    second = arguments(toy_folder, "stage=detector", f"codebook_run={codebook.folder}", "augment=ct")
    mixed = "synthesiser.painter.image_share=0.5"  # half painted, half corrupted in feature space
    call("train", "device=ddp_cpu2", *second, mixed, folder=tmp_path)
    detector = latest(tmp_path, "detector")
    alone = fit(tiny("stage=detector", *STEPS, f"codebook_run={codebook.folder}", "augment=ct", mixed, name="alone2"))
    names = ("loss", "restoration", "normal", "anomalous")
    assert_alike(detector, alone, [f"train/{name}" for name in names] + ["val/synthetic_ap"])
    thresholds = [run.read_threshold() for run in (detector, alone)]
    assert thresholds[0]["n_normals"] == len(detector.read_normal_scores()) == 12  # each validation normal once
    assert thresholds[0]["pixel"]["n_pixels"] == thresholds[1]["pixel"]["n_pixels"]
    assert thresholds[0]["threshold"] == pytest.approx(thresholds[1]["threshold"], rel=1e-2)


def as_srun(rank, folder, toy_folder, *more):
    """One of two tasks on two nodes, as `srun` starts them; both nodes are this machine."""
    job = {"JOB_ID": 41234, "JOB_NAME": "train", "NODELIST": "127.0.0.1"}
    job |= {"NTASKS": 2, "NTASKS_PER_NODE": 1, "NNODES": 2, "PROCID": rank, "NODEID": rank, "LOCALID": 0}
    environment = {f"SLURM_{name}": str(value) for name, value in job.items()}
    environment |= {"ANOMASK_RUNS": f"{folder}/runs", "ANOMASK_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
    environment["MASTER_PORT"] = str(20000 + os.getpid() % 20000)
    device = ["device=ddp_cpu2", "trainer.devices=1", "trainer.num_nodes=2"]
    command = [sys.executable, "-m", "anomask.train", *arguments(toy_folder, *device, *more)]
    return subprocess.Popen(
        command, cwd=folder, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ended_well(tasks):
    for task in tasks:
        text = task.communicate(timeout=280)[0]
        assert task.returncode == 0, text[-3000:]


@pytest.mark.slow
def test_tasks_of_two_nodes_share_the_first_ones_run_folder_and_its_files(toy_folder, tiny, tmp_path):
    codebook = fit(tiny("stage=codebook", name="codebook"))
    common = ["stage=detector", f"codebook_run={codebook.folder}", "synthesiser=paper", "stage.cache=disk"]
    clocks = [f"run={tmp_path}/runs/detector/{stamp}" for stamp in ("first", "second")]
    ended_well([as_srun(rank, tmp_path, toy_folder, *common, clocks[rank]) for rank in (0, 1)])
    two = Run(tmp_path / "runs/detector/first")
    assert len(list((tmp_path / "cache/features").glob("*/complete"))) == 1
    assert not (tmp_path / "runs/detector/second/checkpoints").exists()
    assert json.loads(two.cost_file.read_text())["devices"] == "2 x 1 cpu"
    alone = fit(tiny(*common, *STEPS, name="alone"))
    assert logged(two, "train/loss") == pytest.approx(logged(alone, "train/loss"), **LOSS)
    assert two.read_threshold()["n_normals"] == 12


@pytest.mark.slow
@pytest.mark.parametrize("name", ["padim", "simplenet", "vae", "cutpaste"])
def test_comparison_methods_train_in_two_processes(name, toy_folder, tmp_path):
    method = [f"experiment=baseline_{name}", *TINY_BASELINES.get(name, ())]
    call("train", "device=ddp_cpu2", *method, *TINY, f"data.folder={toy_folder}", folder=tmp_path)
    (run,) = (tmp_path / "runs").glob("*/2*")
    assert Run(run).read_threshold()["n_normals"] == 12
