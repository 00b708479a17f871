"""The demo segmenter's loss, and that what it exports loads through the plain library calls."""

import numpy as np
import pytest
import torch

from varireal.base.seeding import forked_torch_rng
from varireal_pretraining import segmenter
from varireal_pretraining.images import RenderedSet


def test_a_perfect_mask_costs_nothing_and_an_opposite_one_at_least_one():
    masks = torch.zeros(1, 1, 8, 8)
    masks[..., :4] = 1
    sure = torch.where(masks > 0, 30.0, -30.0)
    assert segmenter.mask_loss(sure, masks).item() == pytest.approx(0.0, abs=1e-5)
    assert segmenter.mask_loss(-sure, masks).item() > 1.0


def test_the_loss_of_an_undecided_mask_is_known_in_closed_form():
    masks = torch.zeros(1, 1, 10, 10)
    masks[..., :5] = 1  # probabilities of a half: intersection 25, union 50 + 50 - 25
    expected = np.log(2.0) + 1 - (25 + 1) / (75 + 1)
    assert segmenter.mask_loss(torch.zeros(1, 1, 10, 10), masks).item() == pytest.approx(expected, rel=1e-5)


def test_the_exported_folder_loads_and_is_measured(tmp_path):
    from transformers import AutoModelForSemanticSegmentation

    with forked_torch_rng("test segmenter"):
        model = segmenter.build_segmenter().eval()
    segmenter.export_segmenter(model, tmp_path / "segmenter")
    loaded = AutoModelForSemanticSegmentation.from_pretrained(tmp_path / "segmenter", dtype=torch.float32).eval()
    assert loaded.config.id2label == segmenter.LABELS
    pictures = segmenter.normalize(torch.full((1, 3, 128, 128), 90.0))
    with torch.no_grad():
        logits = loaded(pixel_values=pictures).logits
        assert logits.shape == (1, 2, 64, 64)
        torch.testing.assert_close(logits, model(pixel_values=pictures).logits, rtol=0.02, atol=0.02)


def test_iou_is_one_when_the_true_mask_is_what_the_model_finds(tmp_path):
    with forked_torch_rng("test segmenter"):
        model = segmenter.build_segmenter().eval()
    rng = np.random.default_rng(0)
    image = np.repeat(np.repeat(rng.integers(0, 256, (8, 8, 3), np.uint8), 16, 0), 16, 1)
    with torch.no_grad():
        margin = segmenter.object_logits(
            model, segmenter.normalize(torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float())
        )
        model.decode_head.classifier.bias[1] -= margin.median()  # half of the picture is the object
        margin -= margin.median()
    segmenter.export_segmenter(model, tmp_path / "segmenter")
    mask = np.where(margin[0, 0].numpy() > 0, 255, 0).astype(np.uint8)
    same = segmenter.mean_iou(tmp_path / "segmenter", RenderedSet(image[None], mask[None], [], np.ones(1, bool)))
    opposite = segmenter.mean_iou(
        tmp_path / "segmenter", RenderedSet(image[None], 255 - mask[None], [], np.ones(1, bool))
    )
    assert same["iou"] > 0.95 and same["mean_iou"] > 0.95
    assert opposite["iou"] < 0.05
