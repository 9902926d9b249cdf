"""Pixel rows of the record: normal slices, patients and calibration, worked out again from the pixels."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from anomask.batches import SliceBatch
from anomask.errors import DataError
from anomask.report.record.localisation import PixelTally, Tested

SIZE = 16
ABOUT = [
    Tested("a0", "a", "a", "flu"),
    Tested("a1", "a", "a", ""),
    Tested("b0", "b", "b", "flu"),
    Tested("b1", "b", "b", ""),
]


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(4, 1, SIZE, SIZE, dtype=torch.bool)
    mask[0, :, 3:7, 3:7] = mask[2, :, 8:12, 2:9] = True
    maps = torch.rand(mask.shape, generator=generator) * 0.6 + 0.3 * mask
    lung = torch.zeros_like(mask)
    lung[..., 1:-1, 1:-1] = True
    known = torch.ones(4, dtype=torch.bool)
    has_lung = torch.tensor([True, True, True, False])
    return SliceBatch(maps, torch.arange(4), mask, lung, known, has_lung, torch.zeros(4, 3)), maps


@pytest.mark.parametrize(("region", "normals"), [("slice", [1, 3]), ("lung", [1])])
def test_figures_with_normal_slices(batch, region, normals):
    slices, maps = batch
    tally = PixelTally(0.55, "patient")
    tally.update(slices, {"anomaly map": maps}, ABOUT)
    rows = [row for row in tally.pixel_rows(0, 0) if row["region"] == region]
    assert [row["group"] for row in rows] == ["all", "flu"]
    inside = slices.lung_mask if region == "lung" else torch.ones_like(slices.mask)

    def pixels(which):
        kept = torch.cat([inside[row].flatten() for row in which])
        parts = (torch.cat([part[row].flatten() for row in which])[kept].numpy() for part in (slices.mask, maps))
        return tuple(parts)

    for row in rows:
        assert row["n_slices"] == 2 and row["with_normals"]["n_normals"] == len(normals)
        assert row["ap"] == pytest.approx(average_precision_score(*pixels([0, 2])), abs=1e-4)
        found, (labels, scores) = row["with_normals"], pixels([0, 2, *normals])
        assert (
            found["ap"] == pytest.approx(average_precision_score(labels, scores), abs=1e-4) and found["ap"] < row["ap"]
        )
        assert found["auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-4)
        assert sum(n for n, _, _ in found["reliability"]) == len(scores)
        dice = []
        for patient in "ab":
            labels, scores = pixels([i for i in (0, 2, *normals) if ABOUT[i].patient == patient])
            dice.append(2 * (labels & (scores > 0.55)).sum() / (labels.sum() + (scores > 0.55).sum()))
        assert row["patient_dice"] == {
            "mean": pytest.approx(np.mean(dice)),
            "sd": pytest.approx(np.std(dice, ddof=1)),
            "n_patients": 2,
        }
        assert 0 < row["surface_dice"] < 1
    assert [row["group"] for row in tally.lesion_rows() if row["region"] == region] == ["all", "flu"]


def test_without_normals_threshold_or_patients_a_figure_is_none(batch):
    slices, maps = batch
    tally = PixelTally(None, "slice")
    kept = [about._replace(patient="", cluster="") for about in ABOUT if about.disease]
    tally.update(SliceBatch(*(part[[0, 2]] for part in slices)), {"anomaly map": maps[[0, 2]] * 3}, kept)
    (row,) = [row for row in tally.pixel_rows(0, 0) if (row["region"], row["group"]) == ("slice", "all")]
    assert row["with_normals"] == {
        "n_normals": 0,
        **dict.fromkeys(("auroc", "ap", "aupro", "oracle_dice", "ece", "reliability")),
    }
    assert row["surface_dice"] is None and row["patient_dice"]["n_patients"] == 0


@pytest.mark.parametrize("disease", ["flu", ""])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1])
def test_a_map_that_is_no_map_says_that_the_model_has_diverged(batch, value, disease):
    slices, maps = batch
    maps = maps.clone()
    maps[1, 0, 2, 2] = value
    about = [one._replace(disease=disease) if number == 1 else one for number, one in enumerate(ABOUT)]
    with pytest.raises(DataError, match="The model has diverged"):
        PixelTally(0.5, "patient").update(slices, {"anomaly map": maps}, about)
