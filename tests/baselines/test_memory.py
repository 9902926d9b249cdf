"""The coreset against a slow greedy one, and the distance to it against scikit-learn's."""

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors

from anomask.baselines.memory import k_centres, nearest_distance


def slow_greedy(points, count, first):
    chosen = [first]
    while len(chosen) < count:
        gaps = [min(np.linalg.norm(point - points[row]) for row in chosen) for point in points]
        chosen.append(int(np.argmax(gaps)))
    return chosen


def test_coreset_against_a_slow_greedy_one():
    points = torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
    assert k_centres(points, 30, 7).tolist() == slow_greedy(points.double().numpy(), 30, 7)


def test_coreset_of_two_clusters_by_hand():
    points = torch.tensor([[0.0], [0.1], [10.0], [10.3]])
    assert k_centres(points, 3, 0).tolist() == [0, 3, 2]  # 10.3 is farthest from 0, then 10.0 by 0.3 against 0.1


def test_copies_are_remembered_once_each():
    assert sorted(k_centres(torch.ones(5, 3), 4, 2).tolist()) != [2, 2, 2, 2]
    assert len(set(k_centres(torch.ones(5, 3), 4, 2).tolist())) == 4
    assert k_centres(torch.ones(3, 2), 9, 0).tolist() == [0, 1, 2]  # fewer rows than wanted: all


def test_distances_against_scikit_learn():
    generator = torch.Generator().manual_seed(1)
    patches, bank = torch.randn(3, 40, 6, generator=generator), torch.randn(50, 6, generator=generator)
    expected = NearestNeighbors(n_neighbors=1).fit(bank.numpy()).kneighbors(patches.flatten(0, 1).numpy())[0]
    torch.testing.assert_close(nearest_distance(patches, bank).flatten(), torch.from_numpy(expected[:, 0]).float())
