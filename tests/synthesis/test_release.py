"""The release's defects are reproduced where asked for, and nowhere else."""

import torch

from anomask.losses.release import ReleaseLoss
from anomask.synthesis.draws import SliceDraws
from anomask.synthesis.release import release_draw, release_projection, release_salience
from anomask.synthesis.salience import entropy_change, leave_one_out_entropy, principal_projection, token_salience

OFF = dict(reshape_eigenvectors=False, view_projection=False, centre=True)


def tokens(batch=2, n_tokens=64, width=16):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, n_tokens, width, generator=generator) * 0.6 ** torch.arange(width) + 2.0


def test_without_defects_it_is_the_method():
    z = tokens()
    weights = dict(dimensions=4, entropy_weight=0.5, variance_weight=1.0)
    torch.testing.assert_close(
        release_salience(z, **weights, **OFF), token_salience(z, **weights), rtol=1e-3, atol=1e-3
    )
    torch.testing.assert_close(
        leave_one_out_entropy(release_projection(z, 4, **OFF)), entropy_change(z, 4), rtol=1e-2, atol=1e-5
    )


def test_each_defect_alone_by_a_slow_loop():
    z = tokens()
    centred = z - z.mean(1, keepdim=True)
    for b in range(2):
        vectors = torch.linalg.eigh(centred[b].T @ centred[b]).eigenvectors.flip(1)
        d1 = release_projection(z, 4, True, False, True)[b]
        d3 = release_projection(z, 4, False, False, False)[b]
        plain = release_projection(z, 4, False, False, True)[b]
        d2 = release_projection(z, 4, False, True, True)[b]
        memory = plain.flatten()
        for n in range(0, 64, 9):
            for j in range(4):
                torch.testing.assert_close(d1[n, j], centred[b, n] @ vectors[j], rtol=1e-3, atol=1e-4)
                torch.testing.assert_close(d3[n, j], z[b, n] @ vectors[:, j], rtol=1e-3, atol=1e-4)
                torch.testing.assert_close(d2[n, j], memory[j * 64 + n])
    assert principal_projection(z, 4, 8, 4).shape == d2[None].expand(2, -1, -1).shape


def test_every_image_asks_with_the_first_images_memory():
    z = tokens(batch=3)
    codebook = torch.randn(30, 16, generator=torch.Generator().manual_seed(1))
    codes = torch.zeros(3, 64, dtype=torch.int64)
    mask = torch.zeros(3, 64, dtype=torch.bool)
    mask[:, 5] = True
    new = release_draw(z, codes, mask, codebook, SliceDraws(range(3)), neighbours=1)
    row = z[0].T.flatten()[5 * 16 : 6 * 16]  # channel-first memory of image 0
    expected = (row - codebook).square().sum(1).argmin()
    assert (new[:, 5] == expected).all()
    assert torch.equal(new[~mask], codes[~mask])


def test_signed_weights_can_be_negative():
    residual = -torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    mask = torch.ones(1, 16, dtype=torch.bool)
    weights = ReleaseLoss(2, 1, 1, "var_mean", 0).token_weights(residual, mask, 4)
    assert weights.min() < 0 and weights.max() <= 1


def test_the_default_path_does_not_know_the_release():
    from pathlib import Path

    import anomask

    root = Path(anomask.__file__).parent
    users = [p.name for p in root.rglob("*.py") if "release import" in p.read_text() and p.name != "release.py"]
    assert users == []
    for file in (root.parents[1] / "conf").rglob("*.yaml"):
        if "ablation" not in file.parts and "release" not in file.stem:
            assert ".release." not in file.read_text(), file
