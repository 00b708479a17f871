from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from varireal.config import AugmentationConfig, LoraSettings, TrainConfig
from varireal.networks.clip import load_clip
from varireal.training.data import Augmentation, LabelledImages, LabelledPhotos
from varireal.training.lora import add_lora, trainable_parameters
from varireal.training.pixels import WholePixels
from varireal.training.steps import AdaptedClip, class_loss, part_of_batch, pools

SENTENCES = ("a photo of a red thing", "a photo of a blue thing", "a photo of a grey thing")


@pytest.fixture
def clip(tiny_clip):
    return load_clip(f"local-dir:{tiny_clip}", None)


def images(count: int, seed: int) -> LabelledImages:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 32, 32, 3), generator=generator, dtype=torch.uint8)
    return LabelledImages(pixels, torch.randint(0, 3, (count,), generator=generator))


def gradients(
    clip, sources, positions, parts, own=None, dtype=torch.float32, dropout=0.0
) -> tuple[float, torch.Tensor]:
    """Return the loss of a batch and its gradients with respect to an adapter that is not fresh."""
    model = add_lora(clip.model, LoraSettings(r=4, lora_dropout=dropout), 0).train()
    parameters = trainable_parameters(model)
    for parameter in parameters:
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    network = AdaptedClip(
        clip, model, clip.tokenize(SENTENCES), dtype, Augmentation(AugmentationConfig(flip=False, crop_scale_min=1))
    )
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    loss = network.add_gradients(sources, positions, parts, own or range(parts), ("step", 1), scaler)
    found = torch.cat([parameter.grad.flatten() for parameter in parameters])
    model.unload()
    return loss.item(), found


def test_the_sigmoid_loss_asks_of_every_class_by_itself():
    """By hand: scores 0 give ln 2 for each of three classes; 2 for the label is ln(1 + e^-2) in place of one ln 2."""
    logits, labels = torch.tensor([[0.0, 0.0, 0.0], [0.0, 2.0, 0.0]]), torch.tensor([0, 1])
    expected = [3 * 0.693147, 2 * 0.693147 + 0.126928]
    assert class_loss(logits, labels, "sigmoid", "none").tolist() == pytest.approx(expected, abs=1e-5)
    assert class_loss(logits, labels, "sigmoid", "mean").item() == pytest.approx(sum(expected) / 2, abs=1e-5)
    softmax = class_loss(logits, labels, "softmax", "none")
    assert torch.equal(softmax, functional.cross_entropy(logits, labels, reduction="none"))


def test_one_origin_fills_the_batch_and_two_share_it():
    settings, some = TrainConfig(batch_size=7, lambda_real=0.25), images(4, 0)
    assert [(pool.share, pool.weight) for pool in pools(some, None, settings)] == [(7, 1.0)]
    assert [(pool.share, pool.weight) for pool in pools(some, some, settings)] == [(3, 0.25), (4, 0.75)]
    with pytest.raises(ValueError, match="needs real or synthetic"):
        pools(None, None, settings)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_loss_is_the_weighted_sum_of_the_two_mean_cross_entropies(clip, weight):
    sources = pools(images(4, 1), images(6, 2), TrainConfig(batch_size=5, lambda_real=weight))
    positions = [torch.tensor([0, 1]), torch.tensor([5, 4, 2])]
    model = add_lora(clip.model, LoraSettings(lora_dropout=0.0), 0)
    network = AdaptedClip(clip, model, clip.tokenize(SENTENCES), torch.float32, lambda pixels: pixels.float())
    loss = network.add_gradients(sources, positions, 1, range(1), (0,), torch.amp.GradScaler("cpu", enabled=False))
    model.unload()
    texts, parts = clip.encode_texts(SENTENCES), []
    for pool, chosen in zip(sources, positions):
        logits = clip.logit_scale * clip.encode_images(pool.images.pixels[chosen].numpy()) @ texts.T
        parts.append(functional.cross_entropy(logits, pool.images.labels[chosen]))
    torch.testing.assert_close(loss, weight * parts[0] + (1 - weight) * parts[1])


def test_whole_photos_give_the_gradients_of_squares_where_they_are_squares(clip):
    real, synthetic = images(4, 1), images(6, 2)
    settings = TrainConfig(batch_size=5, lambda_real=0.3)
    positions = [torch.tensor([0, 1]), torch.tensor([5, 4, 2])]
    expected = gradients(clip, pools(real, synthetic, settings), positions, 2)
    whole = [LabelledPhotos(WholePixels(list(some.pixels.numpy())), some.labels) for some in (real, synthetic)]
    loss, found = gradients(clip, pools(*whole, settings), positions, 2)
    assert loss == pytest.approx(expected[0], abs=1e-4)
    torch.testing.assert_close(found, expected[1], atol=1e-3, rtol=1e-3)


def test_gradients_are_those_of_one_backward_pass_through_everything(clip):
    """The features of the sentences are differentiated apart; here autograd does it in one go."""
    sources, chosen = pools(images(6, 1), None, TrainConfig(batch_size=6)), torch.arange(6)
    loss, found = gradients(clip, sources, [chosen], 1)
    model = add_lora(clip.model, LoraSettings(r=4, lora_dropout=0.0), 0).train()
    parameters = trainable_parameters(model)
    for parameter in parameters:
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    features = model.encode_image(clip.normalise(sources[0].images.pixels), normalize=True)
    logits = clip.logit_scale * features @ model.encode_text(clip.tokenize(SENTENCES), normalize=True).T
    expected = functional.cross_entropy(logits, sources[0].images.labels)
    flat = torch.cat([grad.flatten() for grad in torch.autograd.grad(expected, parameters)])
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(found, flat, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_parts_of_a_batch_add_up_to_its_gradients(clip, parts):
    sources = pools(images(4, 1), images(6, 2), TrainConfig(batch_size=5, lambda_real=0.3))
    positions = [torch.tensor([0, 1]), torch.tensor([5, 4, 2])]
    loss, whole = gradients(clip, sources, positions, 1)
    summed, added = gradients(clip, sources, positions, parts)
    assert summed == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(added, whole, atol=1e-5, rtol=1e-4)


def test_shares_of_several_processes_add_up_too_dropout_included(clip):
    sources, positions = pools(images(8, 1), None, TrainConfig(batch_size=8)), [torch.arange(8)]
    loss, whole = gradients(clip, sources, positions, 4, dropout=0.3)
    shares = [gradients(clip, sources, positions, 4, range(rank, 4, 2), dropout=0.3) for rank in (0, 1)]
    assert sum(share[0] for share in shares) == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(shares[0][1] + shares[1][1], whole, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(gradients(clip, sources, positions, 2, dropout=0.3)[1], whole, atol=1e-3)


@pytest.mark.parametrize(("dtype", "least"), [(torch.bfloat16, 0.995), (torch.float16, 0.9995)])
def test_half_precision_gradients_point_the_same_way(clip, dtype, least):
    sources, positions = pools(images(8, 1), None, TrainConfig(batch_size=8)), [torch.arange(8)]
    _, exact = gradients(clip, sources, positions, 1)
    _, found = gradients(clip, sources, positions, 1, dtype=dtype)
    assert found.dtype == torch.float32 and not torch.equal(found, exact)
    assert functional.cosine_similarity(found, exact, dim=0) > least


@given(st.lists(st.integers(0, 9), min_size=1, max_size=3).filter(sum), st.data())
def test_every_image_of_a_batch_is_in_one_part_and_no_part_is_empty(shares, data):
    parts = data.draw(st.integers(1, sum(shares)))
    positions = [torch.arange(100 * k, 100 * k + share) for k, share in enumerate(shares)]
    pieces = [part_of_batch(positions, parts, part) for part in range(parts)]
    sizes = [sum(len(chosen) for chosen in piece) for piece in pieces]
    assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1
    for k, whole in enumerate(positions):
        assert torch.equal(torch.cat([piece[k] for piece in pieces]), whole)
