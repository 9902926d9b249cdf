"""What the memory of tokens holds against hand-made slices, and patches it has never seen."""

import torch

from anomask.baselines.token_memory import TokenMemory
from tests.baselines.test_token_prior import chequered, lossless_vqvae, picture
from tests.baselines.toy import auroc


def method_of(memory=4096, sigma=0.0):
    return TokenMemory(lossless_vqvae(), memory=memory, sigma=sigma, seed=0).eval()


def test_what_is_remembered_is_at_no_distance():
    method = method_of()
    normals = picture(chequered(4))
    method.fit([normals])
    assert method.bank.shape == (4 * 64, 16)
    assert float(method.anomaly_map(normals).max()) < 1e-3


def test_tokens_are_compared_before_quantisation():
    """A rise that the codebook rounds away still counts."""
    method = method_of()
    normals = picture(torch.ones(4, 8, 8))
    method.fit([normals])
    risen = normals + 0.05
    assert torch.equal(
        method.vqvae.quantiser(method.vqvae.encode(risen)).codes,
        method.vqvae.quantiser(method.vqvae.encode(normals)).codes,
    )
    # 16 pixels a token, each 0.05 higher: 0.05 * 4 away.
    torch.testing.assert_close(method.anomaly_map(risen), torch.full_like(risen, 0.2), rtol=0.01, atol=0.0)


def test_a_changed_patch_is_found():
    method = method_of(memory=64)
    method.fit([picture(chequered(8))])
    codes = chequered(4, seed=3)
    mask = torch.zeros(4, 1, 32, 32, dtype=torch.bool)
    codes[:, 2:4, 4:6], mask[..., 8:16, 16:24] = 3 - codes[:, 2:4, 4:6].flip(1), True
    assert auroc(method.anomaly_map(picture(codes)), mask) > 0.9
