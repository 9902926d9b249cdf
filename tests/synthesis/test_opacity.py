"""Painted opacities: where they may be, what they may do, and that they follow their generator."""

import pytest
import torch

from anomask.synthesis.draws import SliceDraws
from anomask.synthesis.opacity import OpacityPainter

SETTINGS = dict(
    image_share=0.5,
    nodule_share=0.3,
    scales_px=(4.0, 24.0),
    coverage=(0.02, 0.4),
    radius_px=(2.0, 6.0),
    most_nodules=3,
    strength=(0.2, 1.0),
    target=(0.6, 0.9),
    texture=0.3,
    edge=(0.2, 0.8),
    least_rise=0.03,
    blur=0.0,
    noise=0.0,
)


def example(batch=16, size=64):
    generator = torch.Generator().manual_seed(0)
    lung = torch.zeros(batch, 1, size, size, dtype=torch.bool)
    lung[..., 16:48, 8:56] = True
    image = torch.where(lung, 0.2, 0.8) + 0.05 * torch.rand(batch, 1, size, size, generator=generator)
    return image, lung


def gen(seed=0, batch=16):
    return SliceDraws(1000 * seed + row for row in range(batch))


def paint(seed=1, **changes):
    image, lung = example()
    painter = OpacityPainter(**(SETTINGS | changes))
    return image, lung, painter(image, lung, gen(seed))


def test_opacities_stay_inside_the_lung_and_only_add_density():
    image, lung, painted = paint()
    rise = painted.image - image
    assert rise.min() >= 0 and rise[~lung].abs().max() == 0
    assert painted.image.max() <= 1.0 and not (painted.mask & ~lung).any()


def test_nodules_take_the_same_share_of_larger_slices():
    settings = SETTINGS | dict(image_share=1.0, nodule_share=1.0, strength=(1.0, 1.0), radius_px=(8.0, 12.0))
    shares = []
    for zoom in (1, 2):
        image, lung = (part.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3) for part in example())
        shares.append(OpacityPainter(**settings)(image, lung, gen()).mask.float().mean())
    assert shares[0] > 0.02 and shares[1] / shares[0] == pytest.approx(1.0, rel=0.25)  # 0.25 with sizes in pixels


def test_the_mask_is_what_lung_of_mean_density_would_gain_and_has_no_holes_at_vessels():
    image, lung = example()
    image[..., 30:32, 30:32] = 0.95  # a vessel, denser than any opacity
    settings = dict(image_share=1.0, texture=0.0, nodule_share=0.0, coverage=(0.6, 0.6), strength=(1.0, 1.0))
    painted = OpacityPainter(**(SETTINGS | settings))(image, lung, gen())
    assert torch.equal(painted.image[..., 30:32, 30:32], image[..., 30:32, 30:32])
    assert painted.mask[..., 30:32, 30:32].any()
    ordinary = lung & ((image - image[lung].mean()).abs() < 0.03)
    rise = painted.image - image
    assert rise[ordinary & painted.mask].min() > 0 and rise[ordinary & ~painted.mask].max() < 0.07


def test_only_chosen_images_change():
    image, _, painted = paint()
    changed = (painted.image != image).flatten(1).any(1)
    assert torch.equal(changed, painted.chosen) and 0 < painted.chosen.sum() < 16
    assert paint(image_share=1.0)[2].chosen.all() and not paint(image_share=0.0)[2].mask.any()


def test_coverage_bounds_the_painted_share_of_the_lung():
    _, lung, painted = paint(image_share=1.0, coverage=(0.1, 0.1), strength=(1.0, 1.0), texture=0.0, nodule_share=0.0)
    share = (painted.mask & lung).flatten(1).sum(1) / lung.flatten(1).sum(1)
    assert share.min() > 0.03 and share.max() <= 0.11


def test_sizes_vary_between_images():
    _, _, painted = paint(image_share=1.0)
    sizes = painted.mask.flatten(1).sum(1)
    assert sizes.max() > 3 * sizes[sizes > 0].min()


def test_the_generator_decides():
    assert torch.equal(paint(3)[2].image, paint(3)[2].image)
    assert not torch.equal(paint(3)[2].image, paint(4)[2].image)


def test_a_slice_is_painted_alike_in_whatever_batch_it_is():
    image, lung, joint = paint(0)
    rows = [7, 2]
    part = OpacityPainter(**SETTINGS)(image[rows], lung[rows], SliceDraws(rows))
    assert torch.equal(part.chosen, joint.chosen[rows])
    torch.testing.assert_close(part.image, joint.image[rows], rtol=0, atol=1e-6)


def test_no_lung_no_opacity():
    image, lung = example()
    painted = OpacityPainter(**SETTINGS)(image, torch.zeros_like(lung), gen())
    assert torch.equal(painted.image, image)


def test_blur_and_noise_lie_over_lesion_and_lung_alike_and_on_painted_slices_alone():
    image, lung, plain = paint()
    _, _, noisy = paint(noise=0.05)
    assert torch.equal(noisy.mask, plain.mask) and torch.equal(noisy.chosen, plain.chosen)
    added = noisy.image - plain.image
    assert torch.equal(noisy.image[~plain.chosen], image[~plain.chosen])
    outside, inside = added[plain.chosen][~lung[plain.chosen]], added[plain.mask]
    assert outside.std() > 0.01 and inside.std() == pytest.approx(float(outside.std()), rel=0.5)
    _, _, soft = paint(blur=1.0)
    rough = (soft.image[..., 1:] - soft.image[..., :-1])[plain.chosen].abs().mean()
    assert rough < 0.9 * (plain.image[..., 1:] - plain.image[..., :-1])[plain.chosen].abs().mean()
