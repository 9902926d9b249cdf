"""DRAEM: simulated anomalies, the shared segmenter, and a defect that must be found."""

import pytest
import torch
import torch.nn.functional as F

from anomask.baselines.draem import DRAEM
from anomask.baselines.foreign import ForeignTexture, _equalised
from anomask.baselines.perlin import PerlinMasks
from anomask.baselines.segmenter import Segmenter
from tests.baselines.toy_synthesis import SIZE, discs, normals, pixel_auroc, seeded, train, with_defects


def foreign(n_changes=3):
    return ForeignTexture(n_changes, (0.5, 2.0), (0.5, 2.0), (0.8, 1.2), (-0.118, 0.118), (0, 3), (0.125, 0.5), (1, 8))


def draem(opacity=(0.1, 1.0), size=SIZE):
    torch.manual_seed(0)
    segmenter = Segmenter([8, 8, 16, 16, 16], "batch", 2.0, 21, size)
    return DRAEM(PerlinMasks(3, 0.3, 90, 0.8), foreign(), opacity, [8, 16, 16], 1.0, segmenter)


@pytest.fixture(scope="module")
def trained():
    return train(draem(), steps=120)


@pytest.mark.slow
def test_a_defect_is_found_and_a_normal_slice_has_none(trained):
    image, masks = normals(24, seeded(1)), discs(24, seeded(2))
    assert pixel_auroc(trained, with_defects(image, masks), masks) > 0.9
    assert pixel_auroc(trained, image, masks) < 0.7  # the same places without the defect; discs keep off the edges


def test_the_map_of_a_slice_does_not_depend_on_its_batch():
    trained = train(draem(), steps=2)
    image = with_defects(normals(4, seeded(1)), discs(4, seeded(2)))
    alone = torch.cat([trained.anomaly_map(one[None]) for one in image])
    torch.testing.assert_close(alone, trained.anomaly_map(image), rtol=1e-4, atol=1e-5)


def test_anomalies_stay_in_their_mask_and_mix_by_the_opacity():
    image, method = normals(64, seeded(1)), draem(opacity=(1.0, 1.0))
    full, mask = method.simulate(image, seeded(3))
    assert torch.equal(full[~mask], image[~mask]) and bool(mask.any())
    method.opacity = (0.25, 0.25)
    quarter, same = method.simulate(image, seeded(3))
    assert torch.equal(mask, same)
    torch.testing.assert_close(quarter - image, 0.25 * (full - image), rtol=0, atol=1e-6)


def test_textures_come_from_another_slice_of_the_batch():
    flat = torch.linspace(0, 1, 5).view(-1, 1, 1, 1).expand(5, 1, 8, 8)
    texture = foreign(n_changes=0)(flat, seeded())
    assert bool((texture[:, 0, 0, 0] - flat[:, 0, 0, 0]).abs().gt(0.1).all())
    torch.testing.assert_close(texture.flatten(1).std(1), torch.zeros(5), rtol=0, atol=1e-6)
    changed = foreign()(normals(16, seeded(1)), seeded())
    assert float(changed.min()) >= 0 and float(changed.max()) <= 1


def test_equalised_values_are_ranks():
    image = torch.tensor([[[[0.2, 0.2], [0.9, 0.1]]]])
    assert _equalised(image).flatten().tolist() == [0.75, 0.75, 1.0, 0.25]


def test_one_logit_is_the_published_focal_loss_of_two():
    segmenter, mask = Segmenter([8, 8, 8, 8, 8], "batch", 2.0, 21, SIZE), discs(2, seeded())
    pair = normals(4, seeded()).view(2, 2, 1, SIZE, SIZE)
    logit = segmenter.eval()(pair[0], pair[1])
    two = torch.cat([torch.zeros_like(logit), logit], 1).softmax(1)  # DRAEM's normal and anomalous channel
    own = two.gather(1, mask.long())
    wanted = -((1 - own) ** 2 * own.log()).mean()
    torch.testing.assert_close(segmenter.loss(pair[0], pair[1], mask), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("size", "side"), [(256, 21), (128, 11), (32, 3)])
def test_the_mean_filter_follows_the_size(size, side):
    segmenter = Segmenter([4, 4, 4, 4, 4], "batch", 2.0, 21, size).eval()
    image = torch.rand(1, 1, 32, 32, generator=seeded())
    with torch.no_grad():
        sharp = segmenter(image, image).sigmoid()
        smooth = F.conv2d(sharp, torch.full((1, 1, side, side), 1 / side**2), padding=side // 2)
        torch.testing.assert_close(segmenter.anomaly_map(image, image), smooth)
