"""Intervals and tests: how often they hold what they should, and that few patients have none."""

import numpy as np
import pytest
from scipy.special import ndtr

from anomask.metrics.bootstrap import (
    LEAST_EFFECTIVE,
    clusters_of,
    effective,
    interval,
    over_seeds,
    resampled_weights,
)
from anomask.metrics.image import weighted_auroc
from anomask.metrics.significance import PValue, holm, less, paired_difference
from tests.metrics.test_image import example


def area(scores, labels):
    return lambda weights: weighted_auroc(scores, labels, weights)


def test_resampling_keeps_patients_whole():
    clusters, unit = clusters_of(["a", "b", "a", "c"])
    assert unit == "patient"
    weights = resampled_weights(clusters, 50, np.random.default_rng(0))
    assert (weights[:, 0] == weights[:, 2]).all()
    assert clusters_of(["a", "", "b"])[1] == "slice"


def test_the_interval_is_wider_by_patient_when_slices_agree():
    rng = np.random.default_rng(0)
    level = rng.standard_normal(20)
    labels = np.repeat(np.arange(20) % 2 == 0, 10)
    scores = np.repeat(level, 10) + 0.1 * rng.standard_normal(200) + 0.5 * labels
    patients = [f"p{i // 10}" for i in range(200)]
    wide = interval(area(scores, labels), patients, 500, np.random.default_rng(1))
    narrow = interval(area(scores, labels), [""] * 200, 500, np.random.default_rng(1))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert (wide.unit, wide.n_clusters, narrow.unit) == ("patient", 20, "slice")


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth = 0.7602  # of a shift of one standard deviation: Phi(1 / sqrt 2)
    inside = 0
    for _ in range(200):
        labels = np.arange(80) % 2 == 0
        scores = rng.standard_normal(80) + labels
        found = interval(area(scores, labels), [""] * 80, 200, rng)
        inside += found.low <= truth <= found.high
    assert 0.88 <= inside / 200 <= 0.99


def test_too_few_patients_give_no_interval():
    scores, labels = example()
    found = interval(area(scores, labels), ["a", "b", "c"] * 20, 100, np.random.default_rng(0))
    assert found.low is None and found.n_clusters == 3


def test_paired_difference_of_equal_runs_is_zero_and_of_unequal_ones_is_found():
    scores, labels = example(200, ties=False)
    first, second = area(scores, labels), area(np.random.default_rng(5).random(200), labels)
    same, p = paired_difference(less(first, first), [""] * 200, 200, np.random.default_rng(0))
    assert (same.low, same.high, p) == (0.0, 0.0, PValue(1.0))
    found, p = paired_difference(less(first, second), [""] * 200, 500, np.random.default_rng(0))
    assert found.low > 0 and p.value < 0.05
    assert p.is_bound and 0.002 < p.value < 0.006 and str(p) == f"p ≤ {p.value:.3f}"  # none of 500 on the other side
    few, p = paired_difference(less(first, second), ["a", "b", "c", "d"] * 50, 500, np.random.default_rng(0))
    assert few.low is None and p is None


def test_a_p_value_is_below_a_twentieth_where_the_interval_leaves_out_zero():
    rng, agreed = np.random.default_rng(3), 0
    for _ in range(60):
        scores, labels = example(60, int(rng.integers(1 << 30)), ties=False)
        difference = less(area(scores, labels), area(scores + rng.normal(0, 0.3, 60), labels))
        found, p = paired_difference(difference, [f"p{i // 4}" for i in range(60)], 999, rng)
        agreed += (p.value < 0.05) == (not found.low <= 0 <= found.high)
    assert agreed >= 59  # a quantile lies between two resamples


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [([[5, 5, 5]], 3), ([[106, 1, 1, 1]], 1.06), ([[4, 4], [3, 0]], 1), ([], 0), ([[0, 0]], 0), ([[2, 1, 1]], 16 / 6)],
)
def test_effective_numbers_by_hand(sizes, wanted):
    assert effective(*(np.array(one, float) for one in sizes)) == pytest.approx(wanted, rel=0.01)


def test_holm_by_hand():
    found = holm([PValue(0.01), None, PValue(0.04), PValue(0.03), PValue(0.005, True), PValue(0.9)])
    values = [None if one is None else one.value for one in found]
    assert values == [pytest.approx(0.04), None, *map(pytest.approx, (0.09, 0.09, 0.025, 0.9))]
    assert [one.is_bound for one in found if one] == [False, False, False, True, False]
    assert holm([PValue(0.6, True), PValue(0.7)]) == [PValue(1.0), PValue(1.0)]


def test_seeds_are_resampled_with_the_patients():
    """Two seeds that differ by more than their patients do: an interval over patients alone would miss that."""
    values = (0.2, 0.8)
    figures = [lambda weights, value=value: np.full(len(weights), value) for value in values]
    found = over_seeds(figures, np.random.default_rng(0))(np.ones((4000, 5)))
    assert found.mean() == pytest.approx(0.5, abs=0.02)
    assert found.std() == pytest.approx(np.std(values, ddof=1) / 2**0.5, rel=0.05)  # the standard error of the mean
    assert over_seeds(figures[:1], np.random.default_rng(0))(np.ones((3, 5))).tolist() == [0.2] * 3


def patients(n, spread, rng):
    """Scores of n abnormal and n normal patients with 8 slices each; patients differ by `spread`, slices by 1."""
    labels = np.arange(2 * n) % 2 == 0
    scores = np.repeat(labels * 1.0 + spread * rng.standard_normal(2 * n), 8) + rng.standard_normal(16 * n)
    return scores, np.repeat(labels, 8), [f"p{i // 8}" for i in range(16 * n)]


def coverage(n, spread, rounds=200):
    """Return how often the interval holds the AUROC of infinitely many patients."""
    rng, inside = np.random.default_rng(0), 0
    truth = ndtr(1 / np.sqrt(2 * (1 + spread**2)))
    for _ in range(rounds):
        scores, labels, names = patients(n, spread, rng)
        found = interval(area(scores, labels), names, 300, rng, kinds=[labels, ~labels])
        inside += found.low <= truth <= found.high
    return inside / rounds


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_intervals_of_the_fewest_patients_cover_the_truth(spread):
    """The simulation of coverage: 95 % is wanted; intervals of five patients covered 84, 66 and 54 %, and are none."""
    assert coverage(LEAST_EFFECTIVE, spread) >= 0.91
    scores, labels, names = patients(5, spread, np.random.default_rng(0))
    found = interval(area(scores, labels), names, 300, np.random.default_rng(0), kinds=[labels, ~labels])
    assert (found.low, found.high, found.n_clusters, found.n_effective) == (None, None, 10, 5.0)
