"""PaDiM's moments and map against plain NumPy; a defect it must find."""

import numpy as np
import pytest
import torch

from anomask.baselines.padim import PaDiM
from anomask.errors import ConfigError, DataError
from tests.baselines.features_toys import pixel_auroc, textures, tiny_features


def fitted(kept=20, sigma=0.0, batches=(8, 8, 3), seed=0):
    method = PaDiM(tiny_features(), kept=kept, epsilon=0.01, sigma=sigma, seed=seed).eval()
    normals = [textures(count, index)[0] for index, count in enumerate(batches)]
    method.fit(normals)
    return method, normals


def test_map_against_plain_mahalanobis():
    method, normals = fitted()
    image = textures(2, 99, defect=True)[0]
    known = torch.cat([method.embed(batch) for batch in normals], 1).double().numpy()
    new = method.embed(image).double().numpy()
    expected = np.zeros((2, 256))
    for position in range(256):
        rows = known[position]
        covariance = np.cov(rows, rowvar=False) + 0.01 * np.eye(20)
        for index in range(2):
            away = new[position, index] - rows.mean(0)
            expected[index, position] = np.sqrt(away @ np.linalg.inv(covariance) @ away)
    grid = torch.from_numpy(expected).float().view(2, 16, 16)
    torch.testing.assert_close(
        method.anomaly_map(image), method.features.anomaly_map(grid, 32, 0.0), rtol=1e-2, atol=1e-2
    )


def test_moments_do_not_depend_on_the_batches():
    first = fitted(batches=(8, 8))[0]
    whole = PaDiM(tiny_features(), kept=20, epsilon=0.01, sigma=0.0, seed=0).eval()
    whole.fit([torch.cat([textures(8, index)[0] for index in range(2)])])
    torch.testing.assert_close(first.mean, whole.mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(first.whitening, whole.whitening, rtol=1e-2, atol=1e-2)


def test_a_defect_is_found_and_its_place_without_it_is_not():
    method = PaDiM(tiny_features(), kept=100, epsilon=0.01, sigma=4.0, seed=0).eval()
    method.fit([textures(8, index)[0] for index in range(20)])
    image, mask = textures(16, 99, defect=True)
    assert pixel_auroc(method.anomaly_map(image), mask) > 0.9
    clean = textures(16, 99)[0]  # the control: without the defects only their place, never at the edge, is left
    assert pixel_auroc(method.anomaly_map(clean), mask) < 0.8


def test_the_seed_chooses_the_channels():
    drawn = [PaDiM(tiny_features(), 20, 0.01, 4.0, seed).drawn.tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2] and len(set(drawn[0])) == 20


@pytest.mark.parametrize("kept", [0, 177])
def test_more_channels_than_there_are_is_an_error(kept):
    with pytest.raises(ConfigError, match=f"kept is {kept}; keep 1 to 176"):
        PaDiM(tiny_features(), kept, 0.01, 4.0, 0)


@pytest.mark.parametrize("normals", [[], [torch.zeros(1, 1, 32, 32)]])
def test_too_few_normals_are_an_error(normals):
    method = PaDiM(tiny_features(), 20, 0.01, 4.0, 0)
    with pytest.raises(DataError, match=f"got {len(normals)} training normals"):
        method.fit(normals)
