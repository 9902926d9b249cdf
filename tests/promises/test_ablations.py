"""Rows of the ablation tables compose and take two training steps on toy slices."""

from functools import cache

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from anomask.settings.compose import CONF_FOLDER, register
from anomask.training.train import train
from tests.conftest import TINY, fit, run_of, settings_of

ROWS = {path.stem: path.read_text() for path in sorted((CONF_FOLDER / "ablation").glob("*.yaml"))}
RESCORED = [row for row, text in ROWS.items() if "weights_run:" in text]
SWEEPS = [row for row, text in ROWS.items() if "sweeper:" in text]
TRAINED = [row for row, text in ROWS.items() if row not in RESCORED and "codebook_run:" not in text]
# One row for each part that rows exchange runs by default, all of them with the slow tests.
DIFFERENT = ("paper_random_codes", "paper_variance_salience", "paper_repair", "paper_depth", "release")
DIFFERENT += ("regions", "refined")
SMALL = ["synthesiser.draw.neighbours=4", "trainer.max_steps=2", "trainer.val_check_interval=2"]


def slow_but(rows):
    """Mark the rows slow that differ from others by numbers alone."""
    return [pytest.param(row, marks=[] if row in DIFFERENT else [pytest.mark.slow]) for row in rows]


def sweep_of(row):
    """Return the overrides of a sweep file's jobs, or one empty list for a plain row."""
    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        composed = compose("train", overrides=[f"+ablation={row}"], return_hydra_config=True)
    params = OmegaConf.to_container(composed.hydra.sweeper.get("params") or OmegaConf.create({}))
    jobs = [[f"{key}={value}" for value in str(values).split(",")] for key, values in params.items()]
    return [[job] for job in jobs[0]] if jobs else [[]]


@pytest.fixture(scope="module")
def codebook_folder(toy_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("codebook")
    settings = settings_of(
        *TINY, f"data.folder={toy_folder}", f"run={folder}/runs/codebook", f"paths.runs={folder}/runs"
    )
    train(settings, run_of(settings))
    return folder / "runs/codebook"


@pytest.fixture(scope="module")
def trained_folder(toy_folder, codebook_folder):
    common = ["stage=detector", f"codebook_run={codebook_folder}", "+ablation=paper", *SMALL]
    settings = settings_of(*TINY, f"data.folder={toy_folder}", f"run={codebook_folder.parent}/trained", *common)
    train(settings, run_of(settings))
    return codebook_folder.parent / "trained"


@cache
def rows_of_tables():
    """Return the rows of tables 4 to 7, 9 to 11 and 13: record key and overrides."""
    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        numbers = (4, 5, 6, 7, 9, 10, 11, 13)
        tables = [compose("tables", [f"paper_table=t{number}", "records=x"]).paper_table for number in numbers]
    return {key: row.run.split() for table in tables for key, row in table.rows.items()}


def test_every_file_is_a_row_of_a_table():
    used = {overrides[1].removeprefix("+ablation=") for overrides in rows_of_tables().values()}
    assert used == set(ROWS) and len(rows_of_tables()) == 65


def test_a_name_says_whose_setting_is_changed_and_no_table():
    for row, text in ROWS.items():
        assert row.startswith(("paper", "release")) == ("override /synthesiser:" in text), row
        assert "Table" not in text and not any(part.startswith("t") and part[1:].isdigit() for part in row.split("_"))


@pytest.mark.parametrize("key", ["paper_residual_map", "paper_codes_256", "paper_entropy_weight_0.0"])
def test_a_run_is_named_as_its_record(key):
    assert_named(key)


@pytest.mark.slow
def test_every_run_is_named_as_its_record():
    for key in rows_of_tables():
        assert_named(key)


def assert_named(key):
    settings = settings_of(*rows_of_tables()[key], "data=covidseg256", "seed=3")
    assert settings["name"] == f"covidseg256_{key}_seed3"


@pytest.mark.slow
@pytest.mark.parametrize("row", SWEEPS)
def test_every_job_of_a_sweep_composes(row):
    jobs = sweep_of(row)
    assert len(jobs) >= 2
    for job in jobs:
        assert settings_of(f"+ablation={row}", *job)["synthesiser"]


@pytest.mark.parametrize("row", slow_but(TRAINED))
def test_every_row_takes_two_steps(row, tiny, codebook_folder):
    job = sweep_of(row)[0]
    small = [o for o in SMALL if not any(o.split("=")[0] in part for part in job)]
    run = fit(tiny("stage=detector", f"codebook_run={codebook_folder}", f"+ablation={row}", *small, *job))
    assert run.load_checkpoint("last")["global_step"] == 2


@pytest.mark.parametrize("row", slow_but(row for row in RESCORED if row.startswith("paper")))
def test_rows_of_another_map_or_score_train_nothing(row, tiny, trained_folder):
    assert settings_of(f"+ablation={row}")["weights_run"] == "phantom0_128_paper_seed0"
    run = fit(tiny("stage=detector", f"+ablation={row}", f"weights_run={trained_folder}", *SMALL))
    assert run.read_threshold()["n_normals"] == 12 and run.read_cost()["steps"] == 2
    assert not run.checkpoint_file("last").exists()


@pytest.mark.slow
def test_the_row_of_crops_trains_nothing(tiny, codebook_folder):
    common = ["stage=detector", f"codebook_run={codebook_folder}"]
    source = fit(tiny(*common, "+ablation=steps_1000", *SMALL, name="source"))
    assert settings_of("+ablation=crops")["weights_run"] == "phantom0_128_steps_1000_seed0"
    run = fit(tiny("stage=detector", "+ablation=crops", f"weights_run={source.folder}", *SMALL))
    assert run.read_cost()["steps"] == 2 and not run.checkpoint_file("last").exists()
    assert run.read_threshold() != source.read_threshold()


@pytest.mark.parametrize("change", ["model.quantiser.n_codes=16", "data.size=64"])
def test_rows_that_need_their_own_codebook_take_two_steps(change, tiny):
    codebook = fit(tiny("stage=codebook", change, name="codebook"))
    common = ["stage=detector", f"codebook_run={codebook.folder}", change, "+ablation=paper"]
    assert fit(tiny(*common, *SMALL, name="detector")).read_threshold()["n_normals"] == 12
