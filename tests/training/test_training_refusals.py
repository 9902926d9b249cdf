"""What would leave nothing that can be used, or track nothing, is refused before the first step."""

import pytest

from anomask.errors import ConfigError, DataError
from anomask.runs import Run
from anomask.scoring.threshold import require_normals
from anomask.tracking.checks import require_logger
from anomask.training.objects import build_trainer
from anomask.training.refusals import require_results, require_steps_to_go
from tests.conftest import fit, run_of


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("+trainer.fast_dev_run=true", "trainer.fast_dev_run is True: nothing would be"),
        ("+trainer.fast_dev_run=3", "trainer.fast_dev_run is 3"),
        ("+trainer.limit_val_batches=0", "trainer.limit_val_batches is 0"),
        ("+trainer.limit_train_batches=0.0", "trainer.limit_train_batches is 0.0"),
        ("+trainer.barebones=true", "trainer.barebones is True"),
        ("+trainer.enable_checkpointing=false", "trainer.enable_checkpointing is False"),
        ("trainer.max_steps=0", "trainer.max_steps is 0"),
        ("trainer.max_epochs=0", "trainer.max_epochs is 0"),
        ("~callbacks.best", "no callback writes checkpoints/best.ckpt"),
        ("~callbacks.last", "no callback writes checkpoints/last.ckpt"),
        ("callbacks.best.save_top_k=0", "no callback writes checkpoints/best.ckpt"),
        ("callbacks.best.filename=good", "no callback writes checkpoints/best.ckpt"),
    ],
)
def test_a_training_that_keeps_nothing(override, said, tiny):
    settings = tiny(override)
    with pytest.raises(ConfigError, match=said):
        require_results(settings)


def test_the_usual_settings_are_let_through(tiny):
    settings = tiny("+trainer.limit_val_batches=1.0", "+trainer.fast_dev_run=false")
    require_results(settings)
    require_steps_to_go(settings, 4)


def test_a_run_has_steps_to_go(tiny):
    with pytest.raises(ConfigError, match="trainer.max_steps is 4, and the run has made 5 steps"):
        require_steps_to_go(tiny(), 5)
    require_steps_to_go(tiny("trainer.max_steps=-1"), 5)


def test_a_threshold_that_cannot_be_fixed_is_known_before_the_first_step(tiny, codebook):
    settings = tiny("stage=detector", f"codebook_run={codebook.folder}", "scoring.specificity=0.99")
    with pytest.raises(DataError, match="12 validation normals cannot fix a threshold of specificity 0.99; 99 are"):
        fit(settings)
    assert not (run_of(settings).folder / "checkpoints").exists()


@pytest.mark.parametrize("specificity", [0, 1, 1.5, -0.1])
def test_a_specificity_is_a_share(specificity):
    with pytest.raises(ConfigError, match=f"scoring.specificity is {specificity}; wanted is a share between 0 and 1"):
        require_normals(100, specificity)


def test_an_epoch_too_short_for_the_interval_between_validations(tiny):
    with pytest.raises(ConfigError, match="val_check_interval is 200 batches and an epoch has 3: no validation would"):
        fit(tiny("trainer.val_check_interval=200", "trainer.check_val_every_n_epoch=1"))


def test_a_figure_that_no_validation_logs_is_one_line(tiny):
    with pytest.raises(ConfigError, match="the trainer cannot work with these settings: .*val/typo"):
        fit(tiny("stage.monitor=val/typo"))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["logger=wandb", "+logger.note=x"], "logger.note is nothing that TrainingLogger knows. Did you mean notes"),
        (["logger=wandb", "logger.offline=no"], "logger.offline is 'no'; wanted is bool"),
        (["logger=wandb", "logger.project=3"], "logger.project is 3; wanted is str"),
        (["logger=wandb", "logger.tags=one"], "logger.tags is 'one'; wanted is"),
        (["logger=wandb", "logger.tags=[1]"], "logger.tags is .1.; wanted is"),
        (
            ["logger=wandb", "logger.project='my project/1'"],
            "W&B does not take project = 'my project/1': .*characters",
        ),
        (["+logger.versoin=1"], "logger.versoin is nothing that CSVLogger knows. Did you mean version"),
        (["+logger.flush_logs_every_n_steps=often"], "logger.flush_logs_every_n_steps is 'often'; wanted is int"),
        (["logger=tensorboard", "+logger.max_que=3"], "logger.max_que is nothing .* Did you mean max_queue"),
    ],
)
def test_a_logger_that_is_misspelt(overrides, said, tiny):
    node = tiny(*overrides)["logger"]
    with pytest.raises(ConfigError, match=said):
        require_logger(node)


@pytest.mark.parametrize(
    "overrides", [["logger=wandb", "+logger.notes=x", "+logger.entity=lab"], ["logger=tensorboard"], []]
)
def test_a_logger_that_is_not(overrides, tiny):
    require_logger(tiny(*overrides)["logger"])


def test_slurm_variables_without_srun_are_one_line(tiny, tmp_path, monkeypatch):
    for name in ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(ConfigError, match=r"SLURM_NTASKS is 2, but this process is no task of srun .*unset SLURM_NT"):
        build_trainer(tiny(), Run(tmp_path), False, [])
    for name in ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"):  # as in a batch script, outside srun
        monkeypatch.setenv(name, "0")
    with pytest.raises(ConfigError, match=r"SLURM_NTASKS is 2, but this process is no task of srun .*ntasks-per"):
        build_trainer(tiny(), Run(tmp_path), False, [])
