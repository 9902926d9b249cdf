"""What a table lacks is found, launched once and kept; what is there is not made again."""

import json
import sys

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import open_dict

from anomask.errors import ConfigError, RunError
from anomask.settings.compose import CONF_FOLDER, register
from anomask.settings.schema import RowConfig
from anomask.sweeps import reproduce as entry
from anomask.sweeps.reproduce import chosen, codebook_jobs, jobs_of, keep, with_sources
from anomask.sweeps.table import build
from tests.conftest import TINY


@pytest.fixture
def conf():
    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        yield compose


def keep_rows(config, *keys):
    """Leave these rows of the table alone: composing takes longest here."""
    with open_dict(config):
        config.paper_table.rows = {key: config.paper_table.rows[key] for key in keys}
    return config


def test_there_is_a_job_for_each_row_and_seed(conf, tmp_path):
    config = conf("reproduce", ["paper_table=t4", "dataset=covidseg256", "seeds=2", f"results={tmp_path}"])
    keep_rows(config, "paper_variance_weight", "paper")
    jobs = jobs_of(config)
    assert [job.settings["seed"] for job in jobs] == [0, 0, 1, 1]
    assert jobs[1].overrides == ["experiment=ablation", "+ablation=paper", "data=covidseg256", "seed=0"]
    assert jobs[1].record == tmp_path / "covidseg256/paper/seed0/record.json"
    config.folder = "some/transplants"
    assert jobs_of(config)[1].record == tmp_path / "transplants/paper/seed0/record.json"


def test_rows_may_be_chosen_and_must_be_of_the_table(conf, tmp_path):
    def rows(*names):
        config = conf("reproduce", [f"results={tmp_path}", f"rows=[{','.join(names)}]"])
        keep_rows(config, "ae", "vae", "anomask")
        return [job.record.parent.parent.name for job in chosen(config, jobs_of(config))]

    assert rows("anomask", "vae") == ["vae", "anomask"]
    with pytest.raises(ConfigError, match=r"rows names unet, table 1 has: ae, vae, anomask\."):
        rows("unet")


def test_only_what_is_missing_is_launched_and_what_it_stands_on(conf, tmp_path, monkeypatch, caplog):
    launched = {}
    monkeypatch.setattr(entry.Launcher, "__call__", lambda self, name, jobs: launched.update({name: jobs}))
    monkeypatch.setattr(entry, "keep", lambda job: job.record)
    rows = "rows=[paper_repair,paper_score_top]"
    given = ["paper_table=t5", f"results={tmp_path}", f"paths.runs={tmp_path}/runs", rows]
    config = conf("reproduce", given)
    there = tmp_path / "lungwin256/paper_score_top/seed0/record.json"
    there.parent.mkdir(parents=True)
    there.write_text("{}")
    (made,) = entry.reproduce(config)
    assert made.parent.parent.name == "paper_repair"
    assert [job[1] for job in launched["runs"]] == ["+ablation=paper"]  # whose weights it takes
    assert [job[1] for job in launched["rescored"]] == ["+ablation=paper_repair"]
    assert [job[1] for job in launched["codebooks"]] == ["name=lungwin256_codebook_seed0"]
    assert len(launched["evaluations"]) == 1
    launched.clear()
    config.dry = True
    assert entry.reproduce(config) == [] and not launched


def test_every_codebook_is_listed_once_with_what_makes_it_different(conf, tmp_path):
    config = conf("reproduce", ["paper_table=t6", f"results={tmp_path}"])
    own = [f"paper_{name}" for name in ("codes_256", "codes_1024", "size_64", "size_96")]
    jobs = jobs_of(keep_rows(config, "paper", "paper_share_0.05", *own))
    found = codebook_jobs(jobs)
    assert [job[1] for job in found] == [
        "name=lungwin256_codebook_seed0",
        *(f"name=lungwin256_codebook_codes_{n}_seed0" for n in (256, 1024)),
        *(f"name=lungwin256_codebook_size_{n}_seed0" for n in (64, 96)),
    ]
    assert found[1][2:] == ["model.quantiser.n_codes=256", "data=lungwin256", "seed=0"]
    assert with_sources(jobs[:1], jobs) == jobs[:1]


def test_a_run_without_evaluation_is_not_kept(conf, tmp_path):
    config = conf("reproduce", [f"results={tmp_path}", f"paths.runs={tmp_path}/runs"])
    (job,) = jobs_of(keep_rows(config, "ae"))
    assert job.evaluation is None
    wanted = r"no evaluation in .*lungwin256_ae_seed0.*Evaluate it: anomask evaluate"
    with pytest.raises(RunError, match=wanted):
        keep(job)
    assert not job.record.exists()


@pytest.mark.slow
def test_a_table_is_reproduced_in_one_go_and_only_once(conf, tmp_path, toy_folder, monkeypatch):
    launch = [*TINY, f"data.folder={toy_folder}", f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache"]
    launch = [part for part in launch if part != "data=folder"]
    given = ["dataset=folder", f"results={tmp_path}/results", f"paths.runs={tmp_path}/runs", "paper_table=t1"]
    config = conf("reproduce", given)
    rows = {
        "ae": "experiment=baseline_ae baseline.channels=[8,16] baseline.bottleneck=4",
        "anomask": "experiment=detector_tokens",
    }
    rows["residual"] = "experiment=baseline_vqvae_residual name=folder_residual"
    with open_dict(config):
        config.launch = " ".join(launch)
        config.paper_table.rows = {key: RowConfig(run=run) for key, run in rows.items()}
    made = entry.reproduce(config)
    assert [path.parent.parent.name for path in made] == ["ae", "anomask", "residual"]
    assert all(
        {"record.json", "scores.csv", "pixels_slice.npz"} <= {f.name for f in path.parent.iterdir()} for path in made
    )
    assert json.loads(made[1].read_text())["cost"]["codebook"]["run"].startswith("toy")
    assert entry.reproduce(config) == []
    made[0].unlink()
    stamp = {path.read_text() for path in (tmp_path / "runs").glob("*/*/cost.json")}
    assert entry.reproduce(config) == [made[0]]
    assert {path.read_text() for path in (tmp_path / "runs").glob("*/*/cost.json")} == stamp
    table = conf("tables", [f"records={tmp_path}/results/folder"])
    with open_dict(table):
        table.paper_table.rows = config.paper_table.rows
        table.paper_table.against = "anomask"
    assert "AUROC less reference" in build(table).read_text()


def test_failed_jobs_are_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(RunError, match=r"jobs of .*runs\.txt failed; their errors are above"):
        entry.Launcher("train", tmp_path, [])("runs", [["seed=0"]])
    assert (tmp_path / "runs.txt").read_text() == "seed=0\n"
