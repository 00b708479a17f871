"""A network that cannot answer a blank input is named in one line when it is loaded, before anything expensive."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.editing.filters.tiny_vlms import save_tiny_vlm
from tests.segmentation import tiny_checkpoints as tiny

from varireal.config import ComputeConfig, InpaintConfig, SegmentConfig
from varireal.editing.attempts import EditWorker
from varireal.editing.filters.yes_no import YesNoModel
from varireal.editing.inpaint import Inpainter
from varireal.errors import UserError
from varireal.networks.blank import answering
from varireal.segmentation import SEGMENTERS

CPU = ComputeConfig(device="cpu")


def test_a_judge_without_a_patch_size_is_refused_before_its_weights_are_read(tmp_path: Path, monkeypatch) -> None:
    """Its processor is built all the same, and failed at the first verdict, after the first edits."""
    folder = save_tiny_vlm("llava_next", tmp_path / "vlm")
    file = folder / "processor_config.json"
    settings = json.loads(file.read_text())
    assert settings["patch_size"] > 0
    file.write_text(json.dumps({**settings, "patch_size": None}))
    monkeypatch.setattr("transformers.AutoModelForImageTextToText.from_pretrained", None)  # would raise if called
    with pytest.raises(UserError) as error:
        YesNoModel(str(folder), None, CPU, 8)
    told = str(error.value)
    assert told.startswith(f"filter.model = {str(folder)!r} cannot answer a blank input (TypeError: ")
    assert "look at its processor_config.json" in told and "\n" not in told


class Nothing:
    """An editor that must not be asked, and a judge that cannot answer."""

    def load(self) -> None:
        raise UserError("the judge cannot answer a blank input")

    def edit(self, jobs: object, seeds: object) -> list[object]:
        raise AssertionError("an edit was made before the judge was tried")


def test_the_judge_is_tried_before_the_first_edit() -> None:
    with pytest.raises(UserError, match="the judge cannot answer"):
        EditWorker(Nothing(), Nothing(), keep_priors=False)([])


def test_an_inpainter_whose_decoder_does_not_fit_is_named(tiny_sdxl_inpaint: Path, monkeypatch) -> None:
    from diffusers.models.autoencoders.vae import Decoder

    def forward(self, sample, *args, **kwargs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Decoder, "forward", forward)
    with pytest.raises(UserError, match=r"edit\.inpaint\.checkpoint = .* cannot answer a blank input \(Runtime"):
        Inpainter(InpaintConfig(checkpoint=str(tiny_sdxl_inpaint)), CPU).load()


def test_a_blank_picture_changes_no_picture_after_it(tiny_sdxl_inpaint: Path) -> None:
    import numpy as np

    from varireal.prompts.templates import Sentence

    def painted(load: bool) -> bytes:
        inpainter = Inpainter(InpaintConfig(checkpoint=str(tiny_sdxl_inpaint)), CPU)
        if load:
            inpainter.load()
        picture, mask = np.zeros((32, 32, 3), np.uint8), np.ones((32, 32), bool)
        settings = {"strength": 0.9, "guidance_scale": 2.0, "num_inference_steps": 3}
        return inpainter.paint([picture], [mask], [Sentence("a jet")], [1], **settings)[0].tobytes()

    assert painted(load=True) == painted(load=False)


def test_a_detector_with_another_picture_size_is_named_when_it_is_loaded(tmp_path: Path, monkeypatch) -> None:
    folder = tiny.save_clipseg(tmp_path / "clipseg")
    settings = SegmentConfig.model_validate({"source": "clipseg", "clipseg": {"checkpoint": str(folder)}})
    SEGMENTERS["clipseg"](settings, CPU, "thing").load()

    def forward(self, *args, **kwargs):
        raise ValueError("Input image size (64*64) doesn't match model (352*352).")

    monkeypatch.setattr("transformers.CLIPSegForImageSegmentation.forward", forward)
    with pytest.raises(UserError, match=r"segment\.clipseg\.checkpoint = .* cannot answer a blank input \(Value"):
        SEGMENTERS["clipseg"](settings, CPU, "thing").load()


@pytest.mark.parametrize("message", ["CUDA out of memory.", "CUDA error: device-side assert triggered"])
def test_a_full_memory_or_a_broken_device_is_not_the_checkpoints_fault(message: str) -> None:
    with pytest.raises(RuntimeError, match=message), answering("clip.model", "x", "files"):
        raise RuntimeError(message)
