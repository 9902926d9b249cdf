"""Training examples: which tokens are called anomalous, and that clean ones are left alone."""

from itertools import pairwise

import torch

from anomask.batches import SliceBatch
from anomask.build import build_stage
from anomask.data.loading.frame import WHOLE
from anomask.scoring.crops import Crops
from anomask.stages.optimisation import Optimisation
from anomask.stages.seeding import slice_draws, step_seed


def batch_of(size=32, count=6):
    generator = torch.Generator().manual_seed(0)
    lung = torch.zeros(count, 1, size, size, dtype=torch.bool)
    lung[..., 8:24, :] = True
    image = torch.where(lung, 0.2, 0.8) + 0.1 * torch.rand(count, 1, size, size, generator=generator)
    known = torch.ones(count, dtype=torch.bool)
    return SliceBatch(image, torch.arange(count), ~(lung | True), lung, known, known, torch.tensor([WHOLE] * count))


def stage_of(tiny, *overrides):
    stage = build_stage(tiny("stage=detector", *overrides)).eval()
    vqvae, batch = stage.detector.vqvae, batch_of()
    vqvae.quantiser.initialise(vqvae.encode(batch.image), torch.Generator().manual_seed(0))
    return stage, batch


def test_feature_space_corruption_is_bound_by_the_lung_if_asked(tiny):
    common = (
        "synthesiser=paper",
        "synthesiser/location=random",
        "synthesiser.share=0.4",
        "synthesiser.draw.neighbours=5",
    )
    for bound, some_outside in ((True, False), (False, True)):
        stage, batch = stage_of(tiny, *common, f"synthesiser.bound_by_lung={bound}")
        corrupted = stage.corrupter(batch, stage.features, slice_draws(batch.index, 0))
        outside = torch.ones(4, 4, dtype=torch.bool)
        outside[1:3] = False
        assert bool(corrupted.mask[:, outside.flatten()].any()) is some_outside


def test_feature_space_corruption_shifts_the_latent_by_the_change_of_code(tiny):
    stage, batch = stage_of(tiny, "synthesiser=paper", "synthesiser.draw.neighbours=5")
    features = stage.features(batch)
    corrupted = stage.corrupter(batch, stage.features, slice_draws(batch.index, 0))
    error = features.tokens - features.quantised
    torch.testing.assert_close(corrupted.latent - corrupted.quantised, error)
    assert torch.equal(corrupted.observed, batch.image)
    assert torch.equal(corrupted.pixel_mask[:, 0, ::8, ::8].flatten(1), corrupted.mask)


def test_painted_slices_are_encoded_and_their_tokens_labelled_by_coverage(tiny):
    stage, batch = stage_of(tiny, "synthesiser.painter.image_share=1.0", "synthesiser.painter.scales_px=[8,16]")
    corrupted = stage.corrupter(batch, stage.features, slice_draws(batch.index, 3))
    coverage = corrupted.pixel_mask.float().unfold(2, 8, 8).unfold(3, 8, 8).mean((4, 5)).flatten(1)
    assert torch.equal(corrupted.mask, coverage >= 0.2) and corrupted.mask.any()
    latent = stage.detector.vqvae.encode(corrupted.observed)
    torch.testing.assert_close(corrupted.latent, latent, rtol=1e-4, atol=1e-5)


def test_each_slice_keeps_its_place_and_only_unpainted_ones_ask_for_features(tiny):
    stage, batch = stage_of(tiny, "synthesiser.painter.image_share=0.5")
    asked = []

    def features(some):
        asked.extend(some.index.tolist())
        return stage.features(some)

    whole = stage.corrupter(batch, features, slice_draws(batch.index, 4))
    assert 0 < whole.painted.sum() < len(batch.image)
    assert asked == batch.index[~whole.painted].tolist()
    for row in range(len(batch.image)):
        one = SliceBatch(*(part[row : row + 1] for part in batch))
        alone = stage.corrupter(one, stage.features, slice_draws(one.index, 4))
        for name in (
            "mask",
            "observed",
            "pixel_mask",
            "painted",
        ):  # not what is encoded: a tie of codes may fall otherwise
            torch.testing.assert_close(getattr(alone, name)[0], getattr(whole, name)[row])


def test_validation_anomalies_never_change(tiny):
    stage, batch = stage_of(tiny)
    first, second = stage.corrupt(batch), stage.corrupt(batch)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    other = stage.corrupt(batch._replace(index=batch.index + 100))
    assert not torch.equal(first.mask, other.mask)


def test_seeds_depend_on_every_number():
    assert len({step_seed(a, b, c) for a in range(3) for b in range(3) for c in range(3)}) == 27


def test_the_schedule_warms_up_and_falls_to_one_percent():
    cosine = Optimisation(torch.optim.Adam, "cosine", 10)
    rates = [cosine.factor(step, 100) for step in range(101)]
    assert rates[0] == 0.1 and rates[10] == 1.0 and abs(rates[100] - 0.01) < 1e-9
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert Optimisation(torch.optim.Adam, "constant", 0).factor(50, 100) == 1.0


def test_test_time_options_run_and_differ(tiny):
    plain, batch = stage_of(tiny, "scoring.mirror=false")
    with torch.no_grad():  # half of the tokens flagged
        probability = plain.detect(batch).probability
        plain.detector.classifier.head.bias -= probability.logit().median()
    other = {}
    for option in ("scoring.mirror=true", "scoring.repair_rounds=2"):
        stage, _ = stage_of(tiny, "scoring.mirror=false", option)
        stage.load_state_dict(plain.state_dict())
        other[option] = stage.detect(batch)
    assert not torch.equal(other["scoring.mirror=true"].probability, plain.detect(batch).probability)
    assert not torch.equal(other["scoring.repair_rounds=2"].restoration, plain.detect(batch).restoration)
    assert torch.equal(other["scoring.repair_rounds=2"].probability, plain.detect(batch).probability)


def test_the_map_is_the_mean_of_whole_slice_and_crops(tiny):
    stage, batch = stage_of(tiny, "scoring.within_lung=true")
    alone = stage.detect(batch)
    stage.scorer.crops = crops = Crops(1.5, 2)
    found = stage.detect(batch)
    stage.scorer.crops = None
    joined = crops.join([stage.detect(batch._replace(image=crop)).anomaly_map for crop in crops.cut(batch.image)])
    torch.testing.assert_close(found.anomaly_map, (alone.anomaly_map + joined) / 2)
    assert torch.equal(found.score, stage.scorer.score(found.anomaly_map, batch.lung_mask))
    assert torch.equal(found.refined, alone.refined) and not torch.equal(found.score, alone.score)


def test_mirroring_gives_mirrored_probabilities_for_mirrored_slices(tiny):
    stage, batch = stage_of(tiny, "scoring.mirror=true")
    flipped = batch._replace(image=batch.image.flip(3))
    torch.testing.assert_close(stage.detect(flipped).probability, stage.detect(batch).probability.flip(2))
