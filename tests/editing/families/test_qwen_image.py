"""Qwen-Image-Edit: the version that knows no mask, and the one size that its pipelines draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.editing.tiny_flow_pipelines import save_flow_pipeline

from varireal.config import ComputeConfig, InpaintConfig, MemoryConfig
from varireal.editing.families import FAMILIES
from varireal.editing.families.qwen_image import QwenImage
from varireal.editing.inpaint import Inpainter
from varireal.editing.instruct import Instructed
from varireal.errors import UserError

CPU = ComputeConfig(device="cpu", workers=1)


@pytest.fixture(scope="module")
def plus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_flow_pipeline("qwen_image_plus", tmp_path_factory.mktemp("plus") / "checkpoint")


def test_plus_draws_by_instruction_and_is_refused_where_a_mask_is_needed(plus) -> None:
    config = InpaintConfig(checkpoint=str(plus), image_size=64)
    with pytest.raises(UserError, match=r"is a QwenImageEditPlusPipeline of family qwen_image, which has no AutoPipe"):
        Inpainter(config, CPU)
    model = Instructed(config, CPU, MemoryConfig())
    model.load(4.0)
    photos = list(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))

    def drawn(*instructions: str, scale: float = 2.0) -> list[np.ndarray]:
        count = len(instructions)
        return model.draw(photos[:count], instructions, range(count), guidance_scale=scale, num_inference_steps=2)

    both = drawn("Paint it red.", "Paint it blue.")
    assert [picture.shape for picture in both] == [(64, 64, 3)] * 2
    assert np.array_equal(drawn("Paint it red.")[0], both[0])  # one at a time, so that no neighbour shows
    others = [drawn("Make it brick.")[0], drawn("Paint it red.", scale=6.0)[0], drawn("Paint it red.", scale=1.0)[0]]
    assert len({picture.tobytes() for picture in [both[0], *others]}) == 4


def test_a_painter_is_refused_where_it_shall_follow_instructions(tmp_path) -> None:
    checkpoint = save_flow_pipeline("qwen_image", tmp_path / "checkpoint")
    with pytest.raises(UserError, match=r"of family qwen_image, which has no pipeline that draws by instruction"):
        Instructed(InpaintConfig(checkpoint=str(checkpoint), image_size=64), CPU, MemoryConfig())


def test_other_sides_than_a_million_pixels_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(FAMILIES["qwen_image"], "abilities", QwenImage.abilities)
    with pytest.raises(UserError, match=r"^edit\.inpaint\.image_size = 512: family qwen_image draws squares of 1024"):
        Inpainter(InpaintConfig(checkpoint="owner/name", family="qwen_image", image_size=512), CPU)
