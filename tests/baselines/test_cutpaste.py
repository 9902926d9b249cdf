"""CutPaste: pasting against a pixel-by-pixel reference, the density in closed form, and a defect that must be found."""

import math

import pytest
import torch

from anomask.baselines.cutpaste import CutPaste
from anomask.baselines.cutpaste_patches import Rectangles, Scars, paste
from anomask.errors import ConfigError
from tests.baselines.toy_synthesis import SIZE, discs, normals, pixel_auroc, seeded, train, with_defects


def cutpaste(size=SIZE, crop=0.375, stride=0.0625, ridge=1e-3):
    torch.manual_seed(0)
    rectangles, scars = Rectangles((0.02, 0.15), (0.3, 1.0), 0.1), Scars((2, 16), (10, 25), 45, 0.1, 256)
    return CutPaste(size, crop, stride, 2, [8, 8, 16, 16], rectangles, scars, ridge, 0.25)


@pytest.fixture(scope="module")
def trained():
    method = train(cutpaste(), steps=60)
    method.fit([normals(16, seeded(index)) for index in (10, 11)])
    return method


def test_a_defect_is_found_and_a_normal_slice_has_none(trained):
    image, masks = normals(24, seeded(1)), discs(24, seeded(2))
    assert pixel_auroc(trained, with_defects(image, masks), masks) > 0.9
    assert pixel_auroc(trained, image, masks) < 0.7  # the same places without the defect; discs keep off the edges


def test_mean_energy_of_the_fitted_patches_is_half_the_width():
    method = cutpaste(ridge=0.0).eval()
    generator = seeded(5)
    method.embed = lambda image: image.flatten(1).unflatten(1, (-1, 16))  # [B, 64, 16], of full rank
    images = [torch.rand(8, 1, SIZE, SIZE, generator=generator) for _ in range(2)]
    method.fit(images)
    embeddings = torch.cat([method.embed(image) for image in images]).flatten(0, 1)
    whitened = (embeddings - method.mean) @ method.whitening.T
    covariance = torch.cov(whitened.T, correction=0)
    torch.testing.assert_close(covariance, torch.eye(16), rtol=0, atol=1e-3)
    assert float(whitened.square().sum(1).mean()) == pytest.approx(16, rel=1e-3)
    wanted = torch.distributions.MultivariateNormal(
        embeddings.mean(0).double(), torch.cov(embeddings.T.double(), correction=0)
    ).log_prob(embeddings[:50].double())
    energy = 0.5 * whitened[:50].square().sum(1).double()
    torch.testing.assert_close(energy - energy[0], wanted[0] - wanted, rtol=1e-3, atol=1e-3)


def test_a_constant_energy_gives_a_constant_map_and_one_hot_patch_peaks_inside_it():
    method = cutpaste().eval()
    side = (SIZE - method.crop) // method.stride + 1
    method.embed = lambda image: torch.full((len(image), side**2, 16), 0.5)
    torch.testing.assert_close(method.anomaly_map(torch.rand(2, 1, SIZE, SIZE)), torch.full((2, 1, SIZE, SIZE), 2.0))
    hot = torch.zeros(1, side**2, 16)
    hot[0, 4 * side + 6] = 1.0
    method.embed = lambda image: hot
    row, column = divmod(int(method.anomaly_map(torch.rand(1, 1, SIZE, SIZE)).argmax()), SIZE)
    top, left = 4 * method.stride, 6 * method.stride
    assert top <= row < top + method.crop and left <= column < left + method.crop


def test_patches_are_embedded_alone(trained):
    """Row-major and without their surroundings, as the paper's patch model."""
    image = normals(1, seeded(3))
    row, column, side = 2, 5, (SIZE - trained.crop) // trained.stride + 1
    top, left = row * trained.stride, column * trained.stride
    patch = image[:, :, top : top + trained.crop, left : left + trained.crop]
    with torch.no_grad():
        torch.testing.assert_close(
            trained.embed(image)[0, row * side + column], trained.network(patch)[0], rtol=1e-4, atol=1e-5
        )


def plain_paste(image, sides, source, target, angle, jitter):
    """One slice, pixel by pixel, nearest pixel of the source."""
    size, cut = len(image), {}
    for row in range(size):
        for column in range(size):
            down, across = row + 0.5 - target[0], column + 0.5 - target[1]
            v = math.cos(angle) * down + math.sin(angle) * across
            u = math.cos(angle) * across - math.sin(angle) * down
            if abs(v) < sides[0] / 2 and abs(u) < sides[1] / 2:
                cut[row, column] = image[math.floor(source[0] + v), math.floor(source[1] + u)] * jitter[0]
    mean, pasted = sum(cut.values()) / len(cut), image.clone()
    for place, value in cut.items():
        pasted[place] = (mean + jitter[1] * (value - mean)).clamp(0, 1)
    return pasted


@pytest.mark.parametrize("angle", [0.0, math.pi / 2])  # exact without interpolation
def test_pasting_against_the_plain_reference(angle):
    image = torch.rand(3, 1, 12, 12, generator=seeded())
    sides = torch.tensor([[3.0, 5.0], [1.0, 1.0], [7.0, 3.0]])
    source = torch.tensor([[4.5, 6.5], [0.5, 11.5], [5.5, 4.5]])
    target = torch.tensor([[7.5, 5.5], [11.5, 3.5], [5.5, 6.5]])
    jitter = torch.tensor([[1.0, 1.0], [1.1, 0.9], [0.9, 1.1]])
    pasted = paste(image, sides, source, target, torch.full((3,), angle), jitter)
    for index in range(3):
        arguments = [values[index].tolist() for values in (sides, source, target)]
        wanted = plain_paste(image[index, 0], *arguments, angle, jitter[index].tolist())
        torch.testing.assert_close(pasted[index, 0], wanted, rtol=0, atol=1e-5)


def test_sizes_of_rectangles_and_scars_are_the_papers():
    ramp = (torch.arange(64) / 64 * torch.ones(64, 1)).expand(400, 1, 64, 64).transpose(2, 3)
    generator = seeded()
    unlike = torch.rand(400, 1, 64, 64, generator=generator) * 0.5 + 0.25
    pasted = Rectangles((0.02, 0.15), (0.3, 1.0), 0.1)(unlike, generator) != unlike
    share = pasted.flatten(1).float().mean(1)
    assert 0.015 < float(share.min()) < 0.03 and 0.13 < float(share.max()) < 0.16
    height, width = (pasted[:, 0].any(axis).sum(1).float() for axis in (2, 1))
    ratio = (height / width).log2()
    assert abs(float((ratio > 0).float().mean()) - 0.5) < 0.1 and float(ratio.abs().max()) < math.log2(1 / 0.3) + 0.3
    scarred = Scars((2, 16), (10, 25), 45, 0.1, 256)(ramp, generator) != ramp
    assert (
        float(scarred.flatten(1).sum(1).min()) > 2 * 10 * 0.7 and float(scarred.flatten(1).sum(1).max()) < 16 * 25 * 1.1
    )


def test_patches_that_do_not_cover_the_slice_are_an_error():
    with pytest.raises(ConfigError, match="patches of 10 px every 3 px do not cover slices of 41 px"):
        cutpaste(size=41, crop=0.25, stride=0.0625)
