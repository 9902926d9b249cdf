"""Calibration against torchmetrics and by hand."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import BinaryCalibrationError

from anomask.metrics.calibration import Calibration


def counted(scores, labels):
    found = Calibration()
    found.add(np.asarray(scores, float), np.asarray(labels, bool))
    return found


def test_the_error_agrees_with_torchmetrics_however_it_was_added():
    rng = np.random.default_rng(0)
    scores = rng.random(500) ** 2
    labels = rng.random(500) < scores**0.5
    wanted = float(
        BinaryCalibrationError(n_bins=10, norm="l1")(torch.from_numpy(scores), torch.from_numpy(labels).int())
    )
    assert counted(scores, labels).figures()["ece"] == pytest.approx(wanted, abs=1e-6)
    parts = [counted(scores[part], labels[part]) for part in (slice(0, 100), slice(100, 500))]
    whole, both = counted(scores, labels).figures(), parts[0].figures(parts[1])
    assert both["ece"] == pytest.approx(whole["ece"]) and np.allclose(both["reliability"], whole["reliability"])


def test_the_curve_by_hand():
    found = counted([0.05, 0.05, 0.95, 1.0], [False, True, True, True]).figures()
    assert found["reliability"] == [[2.0, pytest.approx(0.05), 0.5], [2.0, pytest.approx(0.975), 1.0]]
    assert found["ece"] == pytest.approx((2 * 0.45 + 2 * 0.025) / 4)


def test_scores_that_are_no_probabilities_have_none():
    assert counted([0.5, 3.0], [False, True]).figures() == {"ece": None, "reliability": None}
    assert counted([0.5], [True]).figures(counted([3.0], [True])) == {"ece": None, "reliability": None}
    assert Calibration().figures() == {"ece": None, "reliability": None}
