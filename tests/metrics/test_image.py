"""Slice-level metrics and floors against scikit-learn and cases worked by hand."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn import metrics as reference

from anomask.errors import DataError
from anomask.metrics.codebook_usage import CodebookUsage
from anomask.metrics.image import (
    WithinPatient,
    auroc,
    average_precision,
    sensitivity_at,
    threshold_metrics,
    weighted_auroc,
    weighted_average_precision,
)
from anomask.metrics.trivial import nearest_normal_distance, trivial_features


def example(n=60, seed=0, ties=True):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.4
    scores = rng.random(n) + 0.4 * labels
    return (scores.round(1) if ties else scores), labels


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("specificity", [0.9, 0.95, 1.0])
def test_sensitivity_at_a_specificity_agrees_with_scikit_learn(ties, specificity):
    scores, labels = example(200, ties=ties)
    false, true, _ = reference.roc_curve(labels, scores, drop_intermediate=False)
    assert sensitivity_at(scores, labels, specificity) == pytest.approx(true[false <= 1 - specificity + 1e-9].max())
    assert sensitivity_at(scores, np.ones(200, bool), specificity) is None


@pytest.mark.parametrize("ties", [True, False])
def test_ranking_metrics_agree_with_scikit_learn(ties):
    scores, labels = example(ties=ties)
    assert auroc(scores, labels) == pytest.approx(reference.roc_auc_score(labels, scores))
    assert average_precision(scores, labels) == pytest.approx(reference.average_precision_score(labels, scores))


def test_weights_are_how_often_a_slice_counts():
    scores, labels = example()
    weights = np.random.default_rng(1).integers(0, 4, (5, len(scores)))
    for row, area, ap in zip(
        weights,
        weighted_auroc(scores, labels, weights),
        weighted_average_precision(scores, labels, weights),
        strict=True,
    ):
        repeated = np.repeat(scores, row), np.repeat(labels, row)
        assert area == pytest.approx(reference.roc_auc_score(repeated[1], repeated[0]))
        assert ap == pytest.approx(reference.average_precision_score(repeated[1], repeated[0]))
    assert np.isnan(weighted_auroc(scores, labels, labels[None].astype(float))).all()


def test_figures_at_a_threshold_agree_with_scikit_learn():
    scores, labels = example(ties=False)
    called = scores > 0.7
    found = threshold_metrics(scores, labels, 0.7)
    assert found["f1"] == pytest.approx(reference.f1_score(labels, called))
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, called))
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(labels, called))
    assert found["mcc"] == pytest.approx(reference.matthews_corrcoef(labels, called))
    assert found["sensitivity"] == pytest.approx(reference.recall_score(labels, called))
    assert found["specificity"] == pytest.approx(reference.recall_score(~labels, ~called))


def test_one_class_is_not_defined_and_broken_scores_are_errors():
    assert auroc([1, 2], [True, True]) is None and average_precision([1, 2], [False, False]) is None
    found = threshold_metrics([1.0, 2.0], [False, False], 1.5)
    assert found["sensitivity"] is None and found["f1"] is None and found["specificity"] == 0.5
    with pytest.raises(DataError, match="1 slice scores are NaN or infinite"):
        auroc([1.0, float("nan")], [True, False])


def within(scores, labels, patients):
    found = WithinPatient(scores, labels, patients)
    return found.auroc(), len(found.patients)


def test_within_patient_auroc_by_hand():
    scores = [3, 1, 2, 9, 8, 5]
    labels = [True, False, False, True, True, False]
    patients = ["a", "a", "a", "b", "", "c"]
    assert within(scores, labels, patients) == (1.0, 1)
    # a: 3 > 1, 3 > 2; d: 1 < 4, 4 = 4 -> (2 + 0.5) / 4
    scores, labels = [*scores, 1, 4, 4], [*labels, True, True, False]
    assert within(scores, labels, [*patients, "d", "d", "d"]) == (pytest.approx(2.5 / 4), 2)
    assert within([1, 2], [True, False], ["a", "b"]) == (None, 0)


def test_trivial_features_by_numpy():
    image = torch.rand(2, 1, 12, 12)
    found = trivial_features(image)
    for row in range(2):
        pixels = image[row, 0].double().numpy()
        laplacian = ndimage.laplace(pixels)[1:-1, 1:-1]
        expected = [pixels.mean(), pixels.std(ddof=1), laplacian.std(ddof=1)]
        np.testing.assert_allclose(found[row].numpy(), expected, rtol=1e-4)


def test_nearest_normal_distance_by_hand():
    normals = np.array([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])  # mean 1, standard deviation 1
    assert nearest_normal_distance(np.array([[0.0, 0.0, 0.0], [2.0, 2.0, 5.0]]), normals).tolist() == pytest.approx(
        [0, 3]
    )


def test_codebook_usage_by_hand():
    usage = CodebookUsage(4)
    usage.update(torch.tensor([[[0, 3], [1, 3]]]))
    usage.update(torch.tensor([[[0, 2], [1, 2]]]))
    found = usage.compute()
    assert float(found["used_share"]) == 0.5 and float(found["perplexity"]) == pytest.approx(2.0)
