"""The demo CLIP's losses, and that what it exports loads through open_clip."""

import json

import numpy as np
import pytest
import torch

from varireal.datasets.world.vocabulary import CLASSES
from varireal_pretraining import clip


def test_group_loss_is_the_mean_cross_entropy_of_the_pictures_that_answer():
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0], [9.0, 1.0]])
    loss = clip.group_loss(logits, torch.tensor([0, 1, -1]))
    expected = (np.log1p(np.exp(-2.0)) + np.log(2.0)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert clip.group_loss(logits, torch.tensor([-1, -1, -1])).item() == 0.0


def test_a_candidate_that_does_not_compete_does_not_count():
    logits = torch.tensor([[0.0, 5.0, 0.0]])
    allowed = torch.tensor([[True, False, True]])
    assert clip.group_loss(logits, torch.tensor([0]), allowed).item() == pytest.approx(np.log(2.0), rel=1e-6)


def test_siblings_compete_only_where_asked():
    trijet, twin, glider = (CLASSES.index(name) for name in ("trijet", "twin-engine jetliner", "glider"))
    alone, together = clip.competing_names(torch.tensor([trijet, trijet]), torch.tensor([False, True]))
    assert alone[trijet] and alone[glider] and not alone[twin]
    assert together.all()


def test_normalisation_is_open_clips_own():
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    white = clip.normalize(torch.full((1, 3, 2, 2), 255.0))[0, :, 0, 0]
    expected = (1 - torch.tensor(OPENAI_DATASET_MEAN)) / torch.tensor(OPENAI_DATASET_STD)
    torch.testing.assert_close(white, expected)


def test_the_exported_folder_loads_through_open_clip_with_the_same_features(tmp_path):
    import open_clip

    pictures = clip.normalize(
        torch.randint(0, 256, (4, 3, 128, 128), generator=torch.Generator().manual_seed(0)).float()
    )
    model = clip.build_clip(pictures, seed=0).eval()
    clip.export_clip(model, tmp_path / "clip")
    name = f"local-dir:{tmp_path / 'clip'}"
    loaded, _, _ = open_clip.create_model_and_transforms(name)
    tokens = open_clip.get_tokenizer(name)(["a photo of a trijet aircraft"])
    assert tokens.shape == (1, 24)
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.eval().encode_image(pictures), model.encode_image(pictures), rtol=0.02, atol=0.02
        )
        torch.testing.assert_close(loaded.encode_text(tokens), model.encode_text(tokens), rtol=0.02, atol=0.02)
    strange = open_clip.get_tokenizer(name)(["zebrafish"])[0, 1:3]  # no word of the rendered world, two tokens
    assert not loaded.token_embedding.weight[strange].any()
    assert loaded.visual.transformer.resblocks[0].attn.in_proj_weight.shape == (480, 160)
    config = json.loads((tmp_path / "clip" / "open_clip_config.json").read_text())
    assert tuple(config["preprocess_cfg"]["mean"]) == clip.MEAN
