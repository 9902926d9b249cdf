"""Dice of patients against torchmetrics and by hand; Dice of surfaces against distances from SciPy."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchmetrics.classification import BinaryF1Score

from anomask.metrics.volumes import PatientDice, surface_dice


def slices(seed, count=3):
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.nn.functional.avg_pool2d(torch.rand(2, count, 32, 32, generator=generator), 5, 1, 2)
    return smooth[0] > 0.52, smooth[1] > 0.52


def test_dice_of_patients_is_that_of_their_pixels():
    found, normals, wanted = PatientDice(), PatientDice(), []
    for number, patient in enumerate("abc"):
        called, lesion = slices(number)
        for one, other in zip(called, lesion, strict=True):
            found.add(patient, one, other)
        if patient == "b":  # a normal slice of hers: what is called in it is false
            normals.add(patient, called[0], torch.zeros_like(called[0]))
            called, lesion = torch.cat([called, called[:1]]), torch.cat([lesion, torch.zeros_like(lesion[:1])])
        wanted.append(float(BinaryF1Score()(called.flatten().int(), lesion.flatten().int())))
    normals.add("healthy", *slices(9)[:1], torch.zeros(3, 32, 32, dtype=torch.bool))
    figures = PatientDice.figures([found], normals)
    assert figures["mean"] == pytest.approx(np.mean(wanted), abs=1e-6) and figures["n_patients"] == 3
    assert figures["sd"] == pytest.approx(np.std(wanted, ddof=1), abs=1e-6)
    assert PatientDice.figures([], None) == {"mean": None, "sd": None, "n_patients": 0}


def slow_surface_dice(one, other, most):
    borders = [mask & ~ndimage.binary_erosion(mask, border_value=1) for mask in (one, other)]
    far = [ndimage.distance_transform_edt(~border) for border in borders]
    near = (far[1][borders[0]] <= most).sum() + (far[0][borders[1]] <= most).sum()
    return near / (borders[0].sum() + borders[1].sum())


@pytest.mark.parametrize("seed", range(5))
def test_dice_of_surfaces_agrees_with_distances(seed):
    called, lesion = (masks[0] for masks in slices(seed))
    called[:2] = called[-2:] = lesion[:2] = lesion[-2:] = False
    called[:, :2] = called[:, -2:] = lesion[:, :2] = lesion[:, -2:] = False
    assert surface_dice(called, lesion) == pytest.approx(slow_surface_dice(called.numpy(), lesion.numpy(), 3.0))


def test_surfaces_by_hand():
    lesion = torch.zeros(32, 32, dtype=torch.bool)
    assert surface_dice(lesion, lesion) is None
    lesion[10:20, 10:20] = True
    assert surface_dice(torch.zeros_like(lesion), lesion) == 0.0
    assert surface_dice(lesion, lesion) == 1.0 and surface_dice(lesion.roll(3, 0), lesion) == 1.0
    assert surface_dice(lesion.roll(5, 0), lesion) < 1.0
