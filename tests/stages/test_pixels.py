"""The default's stage: no codebook needed, the same seed the same weights, cropped slices scored as whole ones."""

import json

import pytest
import torch

from anomask.batches import Detection, SliceBatch
from anomask.build import build_scorer, build_stage, needs_codebook
from anomask.data.loading.frame import in_slice
from anomask.errors import ConfigError
from anomask.evaluation.seen import detect, open_slices
from anomask.metrics.histogram import score_bins
from anomask.metrics.pixel import PixelMetrics
from anomask.report.record.names import ANOMALY_MAP
from anomask.stages.normals import count_pixels
from tests.conftest import TINY, evaluated, fit, settings_of

SMALL = ["experiment=detector", "model.network.features=[4,4,8,8,8,4]"]
LEAVE_OUT = ("model.", "data=")  # what the U-Net does not have; experiments come with data of their own


@pytest.fixture
def small(toy_folder, tmp_path):
    def make(*overrides, name="run"):
        fixed = [f"data.folder={toy_folder}", f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache"]
        tiny = [part for part in TINY if not part.startswith(LEAVE_OUT)]
        return settings_of(*SMALL, "data=folder", *tiny, *fixed, f"run={tmp_path}/runs/{name}", *overrides)

    return make


def test_the_default_needs_no_codebook_and_its_record_is_whole(small):
    settings = small()
    assert settings["codebook_run"] is None and not needs_codebook(settings) and settings["data"]["crop"] == "lungs"
    run = fit(settings)
    assert run.read_cost()["steps"] == 4 and "codebook" not in run.read_cost()
    record = json.loads((evaluated(run) / "record.json").read_text())
    assert {row["map"] for row in record["pixel"]} >= {ANOMALY_MAP, "smoothed intensity"}
    assert record["crop"] == "lungs" and record["method"]["name"] == "anomask"


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(small):
    states = [
        fit(small(f"seed={seed}", name=f"{index}")).load_checkpoint("last")["state_dict"]
        for index, seed in enumerate((1, 1, 2))
    ]
    same = [all(torch.equal(states[0][key], state[key]) for key in states[0]) for state in states[1:]]
    assert same == [True, False]


def test_maps_of_cropped_slices_are_those_of_the_whole_slices(small):
    settings = small()
    stage = build_stage(settings).eval()
    data = open_slices(settings, None, augment=None, progress=False)
    assert data.whole is not data.seen and data.whole.crop == "none" and data.seen.crop == "lungs"
    whole, seen = (next(iter(part.test_dataloader())) for part in data)
    assert torch.equal(whole.index, seen.index) and bool((seen.frame[:, 2] < 1).any())
    scores, maps = detect(stage, seen)
    inside = in_slice(torch.ones_like(seen.image), seen.frame) > 0
    assert maps[ANOMALY_MAP].shape == whole.mask.shape and not bool(maps[ANOMALY_MAP][~inside].any())
    torch.testing.assert_close(scores, stage.detect(seen).score)
    uncropped = open_slices(small("data.crop=none"), None, augment=None, progress=False)
    assert uncropped.whole is uncropped.seen


def test_pixels_of_validation_normals_are_those_of_the_whole_slices():
    lung = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    known, frame = torch.zeros(1, dtype=torch.bool), torch.tensor([[0.25, 0.25, 0.5]])
    batch = SliceBatch(torch.rand(1, 1, 32, 32), torch.zeros(1, dtype=torch.int64), ~lung, lung, known, known, frame)
    detection = Detection(torch.full((1, 1, 32, 32), 0.5), torch.zeros(1))
    for within_lung, counted in ((False, 32 * 32), (True, 16 * 16)):
        pixels, scorer = PixelMetrics(), build_scorer(settings_of(f"scoring.within_lung={str(within_lung).lower()}"))
        count_pixels(pixels, scorer, batch, detection)
        found = pixels.negatives
        assert int(found.sum()) == counted and int(found[score_bins(torch.tensor([0.5]))]) >= 14 * 14
        assert int(found[score_bins(torch.tensor([0.0]))]) == counted - 16 * 16


def test_a_codebooks_view_needs_a_codebook_of_slices_cropped_alike(small, codebook):
    view = ["model=unet_codebook", "model.network.features=[4,4,8,8,8,4]"]
    view += [part for part in TINY if part.startswith("model.") and "classifier" not in part]
    with pytest.raises(ConfigError, match="needs codebook_run"):
        fit(small(*view))
    with pytest.raises(ConfigError, match=r"has data\.crop = none, this run wants lungs"):
        fit(small(*view, f"codebook_run={codebook.folder}"))
    run = fit(small(*view, f"codebook_run={codebook.folder}", "data.crop=none"))
    before, after = (one.load_checkpoint("best")["state_dict"] for one in (codebook, run))
    frozen = {name: value for name, value in before.items() if name.startswith("vqvae.")}
    assert frozen and all(torch.equal(value, after[f"detector.view.{name}"]) for name, value in frozen.items())


def test_a_codebook_that_would_not_be_used_is_an_error(small):
    with pytest.raises(ConfigError, match=r"codebook_run=ours is given.*model\.view is null.*Leave codebook_run out"):
        fit(small("codebook_run=ours"))


def test_a_network_without_painter_is_an_error(small):
    with pytest.raises(ConfigError, match=r"model\.network learns painted lesions"):
        fit(small("synthesiser=paper"))
