"""Two gloo processes train both stages like one process on the joint batch, into one run folder."""

import csv
import json
import os
import socket
import subprocess
import sys

import pytest
import torch
import torch.multiprocessing as mp
from pytorch_lightning.utilities import rank_zero_only

from anomask.batches import SliceBatch
from anomask.build import build_stage
from anomask.data.loading.frame import WHOLE
from anomask.runs.folder import Run
from anomask.settings.compose import CONF_FOLDER
from anomask.training.train import train
from tests.conftest import TINY, TINY_BASELINES, fit, run_of
from tests.promises.test_entries import call
from tests.tracking.offline_files import ROOT

# Two epochs of three steps; some codes die and are restarted.
STEPS = ["trainer.max_steps=6", "model.quantiser.restart_warmup=1", "model.quantiser.decay=0.5"]
# float32 rounds to 6e-8 and sums come in another order: 4e-7 was seen here. Losses that are averaged over processes one
# by one, or batch norms of one process, are off by 1e-2 at the first step.
LOSS = dict(rel=1e-5, abs=1e-7)
WEIGHT = dict(rtol=1e-4, atol=1e-4)  # Adam makes steps of a fixed size of gradients that are all rounding
MIXED = ["augment=ct", "synthesiser.painter.image_share=0.5"]  # half painted, half corrupted in feature space


def logged(run, column):
    with (run.folder / "metrics.csv").open() as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


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


def worker(rank, port, jobs):
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": 2, "NODE_RANK": 0, "LOCAL_RANK": rank}
    os.environ.update({name: str(value) for name, value in place.items()})
    torch.set_num_threads(1)
    rank_zero_only.rank = rank  # read from the environment when Lightning is imported, which was before
    for settings in jobs:
        train(settings, run_of(settings))


@pytest.mark.slow
def test_two_processes_train_both_stages_like_one(tiny):
    first, alone = (tiny("stage=codebook", *STEPS, name=name) for name in ("codebook2", "codebook1"))
    common = ["stage=detector", f"codebook_run={first['run']}", *STEPS, *MIXED]
    second, also_alone = (tiny(*common, name=name) for name in ("detector2", "detector1"))
    device = tiny("device=ddp_cpu2")["trainer"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    jobs = [settings | {"trainer": settings["trainer"] | device | {"max_steps": 6}} for settings in (first, second)]
    mp.spawn(worker, (port, jobs), nprocs=2)

    codebook, one = run_of(first), fit(alone)
    columns = [f"train/{name}" for name in ("loss", "reconstruction", "commitment")]
    assert_alike(codebook, one, [*columns, "val/loss", "codebook/restarted_share", "codebook/perplexity"])
    assert max(logged(one, "codebook/restarted_share")) > 0

    detector, one = run_of(second), fit(also_alone)
    columns = [f"train/{name}" for name in ("loss", "restoration", "normal", "anomalous")]
    assert_alike(detector, one, columns)
    # Of scores that differ by rounding a few pixels change places.
    assert logged(detector, "val/synthetic_ap") == pytest.approx(logged(one, "val/synthetic_ap"), rel=1e-3)
    found, wanted = detector.read_threshold(), one.read_threshold()
    assert found["n_normals"] == len(detector.read_normal_scores()) == 12  # each validation normal once
    assert found["pixel"]["n_pixels"] == wanted["pixel"]["n_pixels"]
    assert found["threshold"] == pytest.approx(wanted["threshold"], rel=1e-4)
    assert detector.read_normal_scores() == pytest.approx(one.read_normal_scores(), rel=1e-4)


@pytest.mark.slow
def test_the_command_line_starts_both_processes_in_one_run_folder(toy_folder, tmp_path):
    common = [*TINY, f"data.folder={toy_folder}", "device=ddp_cpu2"]
    call("train", "stage=codebook", "data.cache=disk", *common, folder=tmp_path)
    assert len(list((tmp_path / "cache/slices").glob("*/image.npy"))) == 1  # decoded once for both
    call("train", "stage=detector", "codebook_run=codebook", *common, folder=tmp_path)
    for name in ("codebook", "detector"):
        (folder,) = (tmp_path / "runs" / name).glob("2*")
        assert (folder / "checkpoints/last.ckpt").is_file() and Run(folder).read_cost()["devices"] == "1 x 2 cpu"
        assert len(list(folder.glob("metrics*.csv"))) == 1
    assert Run(folder).read_threshold()["n_normals"] == 12
    call("train", f"resume={folder}", "trainer.max_steps=6", folder=tmp_path)
    assert len(list(folder.glob("metrics*.csv"))) == 2 and Run(folder).read_cost()["steps"] == 6


def as_srun(rank, folder, toy_folder, *more):
    """One of two tasks on two nodes, as `srun` starts them; both nodes are this machine."""
    job = {"JOB_ID": 41234, "JOB_NAME": "train", "NODELIST": "127.0.0.1"}
    job |= {"NTASKS": 2, "NTASKS_PER_NODE": 1, "NNODES": 2, "PROCID": rank, "NODEID": rank, "LOCALID": 0}
    environment = {f"SLURM_{name}": str(value) for name, value in job.items()}
    environment |= {"ANOMASK_RUNS": f"{folder}/runs", "ANOMASK_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
    environment["MASTER_PORT"] = str(20000 + os.getpid() % 20000)
    device = ["device=ddp_cpu2", "trainer.devices=1", "trainer.num_nodes=2"]
    command = [
        sys.executable,
        "-m",
        "anomask",
        "train",
        *TINY,
        *STEPS,
        f"data.folder={toy_folder}",
        *device,
        *more,
    ]
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
@pytest.mark.parametrize("name", ["padim", "simplenet", "cutpaste"])
def test_comparison_methods_train_in_two_processes(name, toy_folder, tmp_path):
    method = [f"experiment=baseline_{name}", *TINY_BASELINES.get(name, ())]
    call("train", "device=ddp_cpu2", *method, *TINY, f"data.folder={toy_folder}", folder=tmp_path)
    (run,) = (tmp_path / "runs").glob("*/2*")
    assert Run(run).read_threshold()["n_normals"] == 12


@pytest.mark.slow
def test_two_processes_stop_together_and_go_on_below_a_folder_with_any_name(toy_folder, tmp_path, monkeypatch):
    """24 training normals in joint batches of 10, 12 validation normals: uneven last batches."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
    folder = tmp_path / "a (b)"
    folder.mkdir()
    given = ["stage=codebook", "device=ddp_cpu2", *TINY, f"data.folder={toy_folder}", "data.batch_size=10", *STEPS]
    signals = [f"+callbacks.stop.{key}" for key in ("_target_=tests.training.faults.Signal", "at=3", "number=15")]
    stopped = call("train", *given, *signals, folder=folder, check=False)
    assert stopped.returncode == 143 and "interrupted (SIGTERM) at step 3. Go on with: " in stopped.stdout
    call("train", "resume=codebook", folder=folder)
    (run,) = map(Run, (folder / "runs/codebook").glob("2*"))
    assert run.finished and run.read_cost()["steps"] == 6 and run.read_cost()["devices"] == "1 x 2 cpu"


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF_FOLDER / "baseline").glob("*.yaml")))
def test_every_trained_parameter_gets_a_gradient(name, tiny):
    """Processes would wait for one that does not."""
    stage = build_stage(tiny(f"experiment=baseline_{name}", *TINY_BASELINES.get(name, ()))).train()
    if stage.method.learns:
        image, lung = torch.rand(4, 1, 32, 32), torch.zeros(4, 1, 32, 32, dtype=torch.bool)
        lung[..., 4:28, 4:28] = True
        known, frame = torch.ones(4, dtype=torch.bool), torch.tensor([WHOLE] * 4)
        batch = SliceBatch(image, torch.arange(4), torch.zeros_like(lung), lung, known, known, frame)
        stage.method.training_loss(batch, torch.Generator().manual_seed(0)).backward()
        assert [name for name, p in stage.named_parameters() if p.requires_grad and p.grad is None] == []
