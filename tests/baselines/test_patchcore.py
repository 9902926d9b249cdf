"""PatchCore's map against scikit-learn; a defect it must find."""

import pytest
import torch

from anomask.baselines.patchcore import PatchCore
from tests.baselines.features_toys import pixel_auroc, textures, tiny_features


def method_of(memory=256, sigma=0.0, seed=0):
    return PatchCore(tiny_features([8, 16]), memory=memory, projected=128, sigma=sigma, seed=seed).eval()


def test_map_against_scikit_learn():
    from sklearn.neighbors import NearestNeighbors

    method = method_of()
    method.fit([textures(8, index)[0] for index in range(2)])
    image = textures(3, 99, defect=True)[0]
    rows = method.embed(image).flatten(0, 1).numpy()
    distances = NearestNeighbors(n_neighbors=1).fit(method.bank.numpy()).kneighbors(rows)[0].reshape(3, 8, 8)
    expected = method.features.anomaly_map(torch.from_numpy(distances).float(), 32, 0.0)
    torch.testing.assert_close(method.anomaly_map(image), expected, rtol=1e-3, atol=1e-2)


def test_the_coreset_covers_better_than_chance_does():
    """The publication's reason for it: the farthest patch is nearer to the coreset than to random rows."""
    method = method_of(memory=64)
    normals = [textures(8, index)[0] for index in range(4)]
    method.fit(normals)
    patches = torch.cat([method.embed(image).flatten(0, 1) for image in normals])
    random = patches[torch.randperm(len(patches), generator=torch.Generator().manual_seed(0))[:64]]
    assert method.bank.shape == (64, 152)
    assert torch.cdist(patches, method.bank).amin(1).max() < torch.cdist(patches, random).amin(1).max()


def test_a_defect_is_found_and_its_place_without_it_is_not():
    method = method_of(memory=512, sigma=4.0)
    method.fit([textures(8, index)[0] for index in range(12)])
    image, mask = textures(16, 99, defect=True)
    assert pixel_auroc(method.anomaly_map(image), mask) > 0.9
    clean = textures(16, 99)[0]  # the control: without the defects only their place, never at the edge, is left
    assert pixel_auroc(method.anomaly_map(clean), mask) < 0.8


@pytest.mark.parametrize("count", [1, 3])
def test_the_map_does_not_depend_on_the_batch(count):
    method = method_of()
    method.fit([textures(8, 0)[0]])
    image = textures(4, 5)[0]
    torch.testing.assert_close(
        method.anomaly_map(image[:count]), method.anomaly_map(image)[:count], rtol=1e-3, atol=1e-3
    )
