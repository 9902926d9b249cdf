"""Both stages and the evaluation on toy slices, and what they promise about seeds, resuming and reopening."""

import json
import shutil

import pytest
import torch
from filelock import FileLock

from anomask.build import build_data, build_stage, open_stage
from anomask.errors import CodebookError, ConfigError, DataError, RunError
from anomask.runs import Run, find_run
from anomask.stages.features import FeatureCache
from anomask.training.objects import build_callbacks as callbacks
from tests.conftest import evaluated, fit, run_of


def weights(run, which="last"):
    return run.load_checkpoint(which)["state_dict"]


def same(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_folder_holds_everything(detector, capsys):
    folder = evaluated(detector)
    assert {path.name for path in folder.iterdir()} == {
        "record.json",
        "scores.csv",
        "summary.md",
        "report.html",
        "overlays",
        "pixels_slice.npz",
        "pixels_lung.npz",
    }
    record = json.loads((folder / "record.json").read_text())
    assert [row["group"] for row in record["image"]] == ["all", "nodule", "opacity"]
    assert [row["n_abnormal"] for row in record["image"]] == [12, 6, 6]
    assert {row["region"] for row in record["pixel"]} == {"slice", "lung"}
    assert record["synthetic"] is False and len(list((folder / "overlays").iterdir())) == 4
    assert record["training_fingerprint"] == record["data_fingerprint"] == detector.read_fingerprint()
    assert record["data_fingerprint"]["sha256"] == record["fingerprint"]
    assert detector.read_threshold()["n_normals"] == 12
    assert "AUROC" in capsys.readouterr().out
    assert (detector.folder / "pictures").is_dir() and (detector.folder / "metrics.csv").is_file()


def test_evaluating_twice_gives_the_same_bytes_at_any_batch_size(detector):
    first = evaluated(detector, name="first")
    second = evaluated(detector, name="second")
    for name in ("record.json", "scores.csv", "summary.md", "report.html"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_the_codebook_is_unchanged_by_stage_two(codebook, detector):
    before = weights(codebook, "best")
    after = {k.removeprefix("detector."): v for k, v in weights(detector).items() if k.startswith("detector.vqvae.")}
    assert same({k: v for k, v in before.items() if k.startswith("vqvae.")}, after)


def test_a_checkpoint_reopens_to_the_same_scores(detector, tiny):
    data = build_data(tiny("stage=detector"), progress=False)
    data.setup()
    batch = next(iter(data.test_dataloader()))
    first, second = (open_stage(detector, "best").detect(batch) for _ in range(2))
    assert torch.equal(first.anomaly_map, second.anomaly_map)
    inside, beside = detector.load_checkpoint("best")["settings"], detector.read_settings()
    learned = ("seed", "model", "synthesiser", "loss", "scoring", "stage")
    assert all(inside[part] == beside[part] for part in learned)


def test_a_batch_of_one_scores_like_a_batch_of_many(detector, tiny):
    data = build_data(tiny("stage=detector"), progress=False)
    data.setup()
    stage = open_stage(detector, "best")
    batch = next(iter(data.test_dataloader()))
    alone = [stage.detect(type(batch)(*(part[row : row + 1] for part in batch))) for row in range(4)]
    together = stage.detect(batch)
    torch.testing.assert_close(torch.cat([one.score for one in alone]), together.score[:4], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stage", ["codebook", "detector"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(tiny, codebook, stage):
    common = [f"stage={stage}", f"codebook_run={codebook.folder}"]
    runs = [fit(tiny(*common, f"seed={seed}", name=f"{stage}{index}")) for index, seed in enumerate((1, 1, 2))]
    assert same(weights(runs[0]), weights(runs[1]))
    assert not same(weights(runs[0]), weights(runs[2]))


@pytest.mark.parametrize("stage", ["codebook", "detector"])
def test_a_run_cut_off_and_resumed_equals_one_that_was_not(tiny, codebook, stage, monkeypatch):
    import pytorch_lightning as pl

    common = [
        f"stage={stage}",
        f"codebook_run={codebook.folder}",
        "trainer.max_steps=6",
        "model.classifier.dropout=0.1",
        "synthesiser=paper",
    ]
    if stage == "codebook":  # a detector that is not augmented keeps its features, which resumes as well
        common.append("augment=ct")
    whole = fit(tiny(*common, name=f"{stage}_whole"))
    settings = tiny(*common, name=f"{stage}_cut")

    class Cut(pl.Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == 3:
                raise MemoryError("killed")

    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr("anomask.training.train.callbacks_of", lambda s, run: [*callbacks(s, run), Cut()])
        fit(settings)
    cut = fit(settings, resume=True)
    assert same(weights(whole), weights(cut))


def test_crops_change_the_threshold_and_no_weights(tiny, codebook):
    runs = []
    for index, crops in enumerate((None, {"_target_": "anomask.scoring.crops.Crops", "zoom": 1.5, "per_side": 2})):
        settings = tiny("stage=detector", f"codebook_run={codebook.folder}", name=f"crops{index}")
        settings["scoring"]["crops"] = crops
        runs.append(fit(settings))
    assert same(*(weights(run, "best") for run in runs))
    assert runs[0].read_validation() == runs[1].read_validation()
    assert runs[0].read_threshold()["threshold"] != runs[1].read_threshold()["threshold"]


def test_two_trainings_never_share_a_folder(tiny, codebook, monkeypatch):
    monkeypatch.setattr("anomask.runs.folder.LOCK_WAIT", 0.0)
    settings = tiny("stage=detector", f"codebook_run={codebook.folder}", name="shared")
    with run_of(settings).claimed(), pytest.raises(RunError, match=r"another process trains into .*shared"):
        fit(settings)
    assert not run_of(settings).settings_file.exists()
    assert fit(settings).finished  # let go, it is free again


def test_a_file_system_without_locks_is_trained_on_with_a_warning(tmp_path, monkeypatch, caplog):
    class NoLocks(FileLock):
        def acquire(self, *args, **kwargs):
            raise NotImplementedError

    monkeypatch.setattr("anomask.runs.folder.FileLock", NoLocks)
    with Run(tmp_path).claimed():
        assert "nothing keeps a second process out" in caplog.text


def test_cached_features_give_the_loss_of_recomputed_ones(tiny, codebook):
    common = ["stage=detector", f"codebook_run={codebook.folder}", "synthesiser=paper"]
    losses = []
    for cache in ("memory", "disk", "disk", "off"):  # the second disk run opens the first one's files
        run = fit(tiny(*common, f"stage.cache={cache}", name=f"cache{len(losses)}"))
        lines = (run.folder / "metrics.csv").read_text().splitlines()
        column = lines[0].split(",").index("train/loss")
        losses.append([float(line.split(",")[column]) for line in lines[1:] if line.split(",")[column]])
    assert len(losses[0]) == 4
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=1e-5)


def test_a_cache_cut_off_while_it_was_written_is_not_used(tiny, codebook, tmp_path):
    stage = build_stage(tiny("stage=detector"), codebook)
    data = build_data(tiny("stage=detector"), progress=False)
    data.setup("fit")

    def batches():
        yield next(iter(data.ordered_loader(data.train_set)))
        raise OSError("disk full")

    cache = FeatureCache(stage.features, len(data.train_set), 16, tmp_path, "key")
    with pytest.raises(OSError, match="disk full"):
        cache.fill(batches(), torch.device("cpu"))
    again = FeatureCache(stage.features, len(data.train_set), 16, tmp_path, "key")
    again.fill(data.ordered_loader(data.train_set), torch.device("cpu"))
    batch = next(iter(data.ordered_loader(data.train_set)))
    torch.testing.assert_close(again(batch).tokens, stage.features(batch).tokens)
    assert again.size_bytes == sum(array.nbytes for array in again.arrays.values())


def test_a_missing_codebook_run_is_an_error(tiny, tmp_path):
    with pytest.raises(ConfigError, match="needs codebook_run"):
        fit(tiny("stage=detector"))
    with pytest.raises(RunError, match="no codebook run at 'nowhere'"):
        fit(tiny("stage=detector", "codebook_run=nowhere"))


def test_a_codebook_of_another_width_is_an_error(tiny, codebook):
    with pytest.raises(ConfigError, match="model.width = 16, this run wants 8"):
        fit(tiny("stage=detector", f"codebook_run={codebook.folder}", "model.width=8"))


def test_a_collapsed_codebook_is_refused(tiny, codebook):
    with pytest.raises(CodebookError, match="has collapsed"):
        fit(tiny("stage=detector", f"codebook_run={codebook.folder}", "stage.min_perplexity=1000"))


def test_a_detector_run_is_no_codebook_and_the_other_way_round(tiny, detector, codebook):
    with pytest.raises(RunError, match="is a run of stage detector; wanted: stage codebook"):
        find_run(str(detector.folder), "runs", "codebook")
    with pytest.raises(RunError, match="is a run of stage codebook; wanted: stage detector"):
        find_run(str(codebook.folder), "runs", "detector")


def test_a_training_checks_its_data_first_and_when_it_goes_on(tiny, toy_folder, tmp_path):
    folder = shutil.copytree(toy_folder, tmp_path / "set")
    settings = tiny("stage=codebook", "trainer.max_steps=2", f"data.folder={folder}")
    broken = folder / "train/normal/n003.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-90])
    with pytest.raises(DataError, match=r"1 error in .*n003\.png cannot be .*anomask verify folder="):
        fit(settings)
    broken.write_bytes(whole)
    run = fit(settings)
    assert run.read_fingerprint()["parts"][0]["slices"] == 36
    broken.unlink()
    with pytest.raises(DataError, match="is not what this run began with"):
        fit(settings, resume=True)


def test_damaged_or_missing_checkpoints_are_errors(codebook):
    file = codebook.checkpoint_file("best")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match="cut off or damaged"):
        codebook.load_checkpoint("best")
    torch.save({"weights": 1}, file)
    with pytest.raises(RunError, match="not an anomask checkpoint"):
        codebook.load_checkpoint("best")
    file.unlink()
    with pytest.raises(RunError, match=r"no checkpoint 'best' .*found: last.*resume="):
        codebook.load_checkpoint("best")


def test_a_batch_that_does_not_divide_is_an_error(tiny):
    with pytest.raises(ConfigError, match="data.batch_size 8 .* is not a multiple of .* = 3"):
        build_data(tiny("trainer.accumulate_grad_batches=3"))


def test_an_image_size_that_the_stride_does_not_divide_is_an_error(tiny):
    with pytest.raises(ConfigError, match="image size 36 is not a multiple of the encoder's stride 8"):
        build_stage(tiny("data.size=36"))


@pytest.mark.parametrize("stage", ["codebook", "detector"])
def test_a_loss_that_is_not_finite_stops_the_training(tiny, codebook, stage):
    with pytest.raises(RunError, match="the training loss is nan at step"):
        fit(tiny(f"stage={stage}", f"codebook_run={codebook.folder}", f"loss.{stage}.{WEIGHT[stage]}=nan"))


WEIGHT = {"codebook": "commitment", "detector": "normal"}
