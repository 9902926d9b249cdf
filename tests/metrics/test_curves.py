"""Areas of many weighted curves at once, against scikit-learn one by one."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from anomask.metrics import curves
from anomask.metrics.image import WithinPatient, falling_weights, weighted_rates


def resamples():
    rng = np.random.default_rng(0)
    scores = np.round(rng.random(60), 1)  # many ties
    labels = rng.random(60) < 0.4
    return scores, labels, rng.integers(0, 4, (20, 60)).astype(float)


def test_weighted_areas_agree_with_scikit_learn():
    scores, labels, weights = resamples()
    true, false = falling_weights(scores, labels, weights)
    exact = [roc_auc_score(labels, scores, sample_weight=row) for row in weights]
    assert curves.auroc(true, false) == pytest.approx(exact, abs=1e-12)
    exact = [average_precision_score(labels, scores, sample_weight=row) for row in weights]
    assert curves.average_precision(true, false) == pytest.approx(exact, abs=1e-12)


def test_aupro_is_interpolated_at_the_limit():
    false, overlap = np.array([0.0, 2.0, 10.0]), np.array([0.2, 0.6, 1.0])
    # From (0, .2) to (.2, .6), then towards (1, 1) until .3: .08 + .1 * .625
    assert curves.aupro(overlap, false) == pytest.approx((0.2 * 0.4 + 0.1 * 0.625) / 0.3)
    assert curves.aupro(overlap, false, limit=1.0) == pytest.approx(0.2 * 0.4 + 0.8 * 0.8)
    both = curves.aupro(np.stack([overlap, overlap / 2]), np.stack([false, false]))
    assert both[0] == pytest.approx(2 * both[1])


def test_undefined_areas_are_nan():
    none, some = np.zeros(3), np.array([1.0, 2.0, 3.0])
    assert all(
        np.isnan(area(*pair))
        for area in (curves.auroc, curves.average_precision)
        for pair in ((none, some), (some, none))
    )
    assert np.isnan(curves.aupro(none, some)) and np.isnan(curves.aupro(some / 3, none))
    assert curves.defined(np.float64("nan")) is None and curves.defined(np.float64(0.5)) == 0.5


def test_weighted_rates_and_within_patient_count_copies():
    scores, labels, _ = resamples()
    weights = np.zeros((2, 60))
    weights[0], weights[1, :30] = 1, 2
    sensitivity, specificity = weighted_rates(scores > 0.5, labels, weights)
    assert sensitivity[0] == pytest.approx((scores > 0.5)[labels].mean())
    assert specificity[1] == pytest.approx((scores <= 0.5)[:30][~labels[:30]].mean())
    patients = np.repeat(["a", "b", "c"], 20)
    within = WithinPatient(scores, labels, patients)
    assert within.weighted(np.ones((1, 3)))[0] == pytest.approx(within.auroc())
    alone = roc_auc_score(labels[:20], scores[:20])
    assert within.weighted(np.array([[5.0, 0.0, 0.0]]))[0] == pytest.approx(alone)
