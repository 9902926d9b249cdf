"""RD4AD's distances by hand, its shapes, and that distilling it finds a defect."""

import pytest
import torch

from anomask.baselines.rd4ad import RD4AD, InvertedResidual
from anomask.errors import ConfigError
from tests.baselines.features_toys import learn, pixel_auroc, textures, tiny_features


def method_of():
    torch.manual_seed(0)
    return RD4AD(tiny_features(), width=48, expansion=2, blocks=1, sigma=4.0)


def test_distances_against_plain_cosines():
    method = method_of().eval()
    image = textures(2, 0)[0]
    teacher = method.features(image)
    decoded, student = method.bottleneck(teacher), []
    assert decoded.shape == (2, 48, 2, 2)  # stride 32 of 64 px
    for scale in method.student:
        decoded = scale(decoded)
        student.insert(0, decoded)
    distances = method.distances(image)
    assert [tuple(part.shape) for part in distances] == [(2, 16, 16), (2, 8, 8), (2, 4, 4)]
    for own, mine, found in zip(teacher, student, distances, strict=True):
        one, other = own[1, :, 2, 3], mine[1, :, 2, 3]
        assert float(found[1, 2, 3]) == pytest.approx(float(1 - one @ other / one.norm() / other.norm()), abs=1e-4)
    assert float(method.loss(image, torch.Generator())) == pytest.approx(sum(float(part.mean()) for part in distances))


def test_the_loss_sees_direction_alone():
    """Cosine distance: the length of the student's features is free."""
    method = method_of().eval()
    image = textures(2, 0)[0]
    before = [part.clone() for part in method.distances(image)]
    method.student[-1][-1][-1].weight.data *= 3
    method.student[-1][-1][-1].bias.data *= 3
    for first, second in zip(before, method.distances(image), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("change", "side"), [("same", 8), ("down", 4), ("up", 16)])
def test_blocks_change_the_resolution(change, side):
    assert InvertedResidual(6, 6, change, 2)(torch.rand(2, 6, 8, 8)).shape == (2, 6, side, side)


def test_a_defect_is_found_and_its_place_without_it_is_not():
    method = method_of()
    losses = learn(method, steps=80, lr=5e-3)
    assert losses[-1] < 0.5 * losses[0]
    image, mask = textures(16, 99, defect=True)
    assert pixel_auroc(method.anomaly_map(image), mask) > 0.9
    clean = textures(16, 99)[0]  # the control: without the defects only their place, never at the edge, is left
    assert pixel_auroc(method.anomaly_map(clean), mask) < 0.8


def test_the_teacher_stays_as_it_is():
    method = method_of()
    before = {name: value.clone() for name, value in method.features.state_dict().items()}
    learn(method, steps=2, lr=5e-3)
    assert all(torch.equal(value, before[name]) for name, value in method.features.state_dict().items())


@pytest.mark.parametrize(("strides", "side"), [([4, 16], 64), ([8, 4], 64), ([4, 8, 16], 48)])
def test_other_strides_are_an_error(strides, side):
    with pytest.raises(ConfigError, match="each stride twice the one before"):
        RD4AD(tiny_features(strides, side), width=8, expansion=1, blocks=1, sigma=4.0)
