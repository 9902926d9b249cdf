"""Every device group builds its Trainer (on a CPU: there is no GPU here), shares the batch, and names its nodes."""

import pytest
import pytorch_lightning as pl
from hydra.utils import instantiate
from lightning_fabric.plugins.environments import SLURMEnvironment
from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm
from pytorch_lightning.utilities import rank_zero_only

from anomask.build import build_data
from anomask.callbacks.batch_norm import JointBatchNorm
from anomask.settings.compose import CONF_FOLDER
from tests.conftest import TINY, settings_of
from tests.promises.test_entries import call_here

NAMES = sorted(path.stem for path in (CONF_FOLDER / "device").glob("*.yaml"))
PROCESSES = {"cpu": 1, "gpu": 1, "ddp": 4, "ddp_cpu2": 2, "multinode": 8}
NORMS = {"ddp": TorchSyncBatchNorm, "ddp_cpu2": JointBatchNorm, "multinode": TorchSyncBatchNorm}


@pytest.mark.parametrize("name", NAMES)
def test_a_device_group_builds_its_trainer_and_shares_the_batch(name):
    settings = settings_of(f"device={name}", "data=folder", "data.folder=somewhere")
    wanted = settings["trainer"]["accelerator"]
    trainer = instantiate(settings["trainer"] | {"accelerator": "cpu"}, logger=False, _convert_="all")
    assert isinstance(trainer, pl.Trainer) and trainer.world_size == PROCESSES[name]
    norms = getattr(trainer.strategy, "_layer_sync", None)  # what makes batch norms joint
    assert isinstance(norms, NORMS[name]) if name in NORMS else norms is None
    assert wanted == ("cpu" if "cpu" in name else "gpu")
    assert build_data(settings).batch_size * PROCESSES[name] == settings["data"]["batch_size"] == 16


def test_under_srun_every_task_knows_its_place(monkeypatch):
    job = {"JOB_ID": 7, "JOB_NAME": "train", "NTASKS": 8, "NTASKS_PER_NODE": 4, "NNODES": 2, "NODELIST": "n[3-4]"}
    for key, value in (job | {"PROCID": 6, "NODEID": 1, "LOCALID": 2}).items():
        monkeypatch.setenv(f"SLURM_{key}", str(value))
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # a Trainer sets it for the whole process; undone afterwards
    settings = settings_of("device=multinode")
    trainer = instantiate(settings["trainer"] | {"accelerator": "cpu"}, logger=False, _convert_="all")
    environment = trainer._accelerator_connector.cluster_environment
    assert isinstance(environment, SLURMEnvironment) and environment.main_address == "n3"
    assert (trainer.global_rank, trainer.local_rank, trainer.node_rank, trainer.world_size) == (6, 2, 1, 8)


def test_a_sweep_of_jobs_with_several_processes_is_refused(tmp_path, toy_folder, monkeypatch, capfd):
    monkeypatch.setenv("ANOMASK_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    given = [*TINY, f"data.folder={toy_folder}", "device=ddp_cpu2", "seed=0,1", "--multirun"]
    assert call_here("train", *given, monkeypatch=monkeypatch) == 2  # as many jobs failed
    assert "ConfigError: a job of this sweep wants 2 processes" in capfd.readouterr().out
