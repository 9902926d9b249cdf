"""Encoders, decoders and classifier: shapes follow the settings, and each image is treated alone."""

import pytest
import torch

from anomask.errors import ConfigError
from anomask.models.classifier import TokenClassifier, sincos_positions
from anomask.models.decoder import SubpixelDecoder, UpsamplingDecoder
from anomask.models.detector import Detector
from anomask.models.encoder import PatchEncoder, Resnet18Trunk
from anomask.models.quantiser import Quantiser
from anomask.models.tokens import patch_mean, to_grid, to_tokens
from anomask.models.vqvae import VQVAE

ENCODERS = {
    "patch8": lambda: PatchEncoder(12, [8, 16], 4, 1),
    "patch4": lambda: PatchEncoder(12, [8], 4, 1),
    "resnet": lambda: Resnet18Trunk(12, None),
}
DECODERS = {
    "subpixel8": lambda: SubpixelDecoder(12, [16, 8], 4, 1),
    "subpixel4": lambda: SubpixelDecoder(12, [16], 4, 1),
    "upsampling8": lambda: UpsamplingDecoder(12, [16, 8, 8]),
}


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("name", ENCODERS)
def test_encoder_divides_by_its_stride(name, size):
    encoder = ENCODERS[name]().eval()
    assert encoder(torch.rand(1, 1, size, size)).shape == (1, 12, size // encoder.stride, size // encoder.stride)


@pytest.mark.parametrize("name", DECODERS)
def test_decoder_multiplies_by_its_stride_into_the_unit_interval(name):
    decoder = DECODERS[name]().eval()
    image = decoder(torch.randn(2, 12, 8, 8) * 5)
    assert image.shape == (2, 1, 8 * decoder.stride, 8 * decoder.stride)
    assert image.min() >= 0 and image.max() <= 1


def test_a_batch_of_one_equals_the_image_in_a_batch():
    images = torch.rand(8, 1, 64, 64)
    classifier = classifier_of(64)
    for encoder in (make().eval() for make in ENCODERS.values()):
        torch.testing.assert_close(encoder(images)[3:4], encoder(images[3:4]), rtol=1e-4, atol=1e-5)
    tokens = torch.randn(8, 64, 12)
    torch.testing.assert_close(classifier(tokens)[3:4], classifier(tokens[3:4]), rtol=1e-4, atol=1e-5)


def classifier_of(n_tokens, **changes):
    settings = dict(depth=2, heads=3, head_width=5, dropout=0.0, mlp=True, mlp_ratio=2.0, positions="learned")
    return TokenClassifier(12, n_tokens, **(settings | changes)).eval()


@pytest.mark.parametrize("positions", ["learned", "sincos"])
@pytest.mark.parametrize("mlp", [True, False])
def test_classifier_gives_one_logit_a_token(mlp, positions):
    assert classifier_of(16, mlp=mlp, positions=positions)(torch.randn(3, 16, 12)).shape == (3, 16)


def test_attention_without_mlp_has_no_mlp_weights():
    assert not any("mlp" in name for name, _ in classifier_of(16, mlp=False).named_parameters())


def test_attention_agrees_with_a_plain_softmax():
    block = classifier_of(9, mlp=False).blocks[0]
    tokens = torch.randn(2, 9, 12)
    query, key, value = block.to_qkv(block.norm(tokens)).chunk(3, dim=-1)
    heads = []
    for head in range(3):
        part = slice(5 * head, 5 * head + 5)
        weights = (query[..., part] @ key[..., part].transpose(1, 2) / 5**0.5).softmax(-1)
        heads.append(weights @ value[..., part])
    torch.testing.assert_close(block(tokens), tokens + block.to_out(torch.cat(heads, -1)), rtol=1e-4, atol=1e-5)


def test_sincos_positions_differ_between_tokens_and_fit_odd_widths():
    positions = sincos_positions(16, 14)
    assert positions.shape == (16, 14)
    assert torch.cdist(positions, positions).add(torch.eye(16) * 9).min() > 1e-3


def test_unknown_positions_are_an_error():
    with pytest.raises(ConfigError, match="'learned' or 'sincos'"):
        classifier_of(16, positions="rotary")


def test_tokens_and_grid_are_inverse_and_row_major():
    grid = torch.randn(2, 5, 4, 4)
    assert torch.equal(to_grid(to_tokens(grid)), grid)
    assert torch.equal(to_tokens(grid)[0, 6], grid[0, :, 1, 2])
    pixels = torch.arange(16.0).view(1, 1, 4, 4)
    assert patch_mean(pixels, 2).tolist() == [[2.5, 4.5, 10.5, 12.5]]


def quantiser_of(width=12):
    return Quantiser(width, 8, 0.9, 0.0, 0, 1, True, 1e-5)


def test_size_must_be_a_multiple_of_the_stride():
    with pytest.raises(ConfigError, match="100 is not a multiple of the encoder's stride 8"):
        VQVAE(ENCODERS["patch8"](), quantiser_of(), DECODERS["subpixel8"](), 100)


def test_strides_of_encoder_and_decoder_must_agree():
    with pytest.raises(ConfigError, match="stride 8 and decoder stride 4"):
        VQVAE(ENCODERS["patch8"](), quantiser_of(), DECODERS["subpixel4"](), 64)


def test_resnet_takes_torchvision_weights_and_refuses_others(tmp_path):
    from monai.networks.nets.resnet import resnet18

    donor = resnet18(spatial_dims=2, n_input_channels=3, conv1_t_stride=2, num_classes=1000)
    torch.save(donor.state_dict(), tmp_path / "good.pt")
    encoder = Resnet18Trunk(12, str(tmp_path / "good.pt"))
    torch.testing.assert_close(encoder.stem[0].weight, donor.conv1.weight.sum(1, keepdim=True))
    torch.testing.assert_close(encoder.stages[2][0].conv1.weight, donor.layer3[0].conv1.weight)
    torch.save({"head": torch.ones(1)}, tmp_path / "bad.pt")
    with pytest.raises(ConfigError, match="lacks"):
        Resnet18Trunk(12, str(tmp_path / "bad.pt"))
    with pytest.raises(ConfigError, match="no encoder weights at"):
        Resnet18Trunk(12, str(tmp_path / "none.pt"))


def test_the_frozen_codebook_stays_in_eval_mode():
    vqvae = VQVAE(ENCODERS["patch8"](), quantiser_of(), DECODERS["subpixel8"](), 64)
    detector = Detector(vqvae, DECODERS["subpixel8"](), classifier_of(64), "quantised")
    detector.start_restorer()
    detector.train()
    assert detector.restorer.training and detector.classifier.training
    assert not any(module.training for module in vqvae.modules())
    assert not any(parameter.requires_grad for parameter in vqvae.parameters())
    tokens = torch.randn(1, 64, 12)
    torch.testing.assert_close(detector.eval().restore(tokens), vqvae.decode(tokens))


@pytest.mark.parametrize("seen", ["quantised", "latent", "latent_and_residual"])
def test_the_classifier_sees_what_it_is_told_to_and_nothing_else(seen):
    vqvae = VQVAE(ENCODERS["patch8"](), quantiser_of(), DECODERS["subpixel8"](), 64)
    detector = Detector(vqvae, DECODERS["subpixel8"](), classifier_of(64), seen)
    quantised, latent, image = torch.randn(2, 64, 12), torch.randn(2, 64, 12), torch.rand(2, 1, 64, 64)
    restored = torch.rand(2, 1, 64, 64, requires_grad=True)
    logits, pixels = detector.classify(quantised, latent, image, restored)
    assert logits.shape == (2, 64) and pixels is None
    logits.sum().backward()
    assert restored.grad is None  # the restorer must not learn to please the classifier
    with torch.no_grad():
        changed = {
            "quantised": detector.classify(quantised + 1, latent, image, restored),
            "latent": detector.classify(quantised, latent + torch.randn(2, 64, 12), image, restored),
            "residual": detector.classify(quantised, latent, image, restored.flip(3)),
        }
    used = {name for name, other in changed.items() if not torch.equal(other.tokens, logits)}
    assert used == set(seen.split("_and_"))


def test_an_unknown_classifier_input_is_an_error():
    vqvae = VQVAE(ENCODERS["patch8"](), quantiser_of(), DECODERS["subpixel8"](), 64)
    with pytest.raises(ConfigError, match="classifier_input is 'pixels'"):
        Detector(vqvae, DECODERS["subpixel8"](), classifier_of(64), "pixels")
