"""Text encoders leave memory once all sentences of a cell are embedded; pictures stay the same to the byte."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from tests.editing.refining import SETTINGS as REFINING
from tests.editing.refining import inputs as refining_inputs
from tests.editing.refining import section
from tests.editing.scripted import finish, no_filter, pictures
from tests.editing.test_inpaint import SETTINGS, inputs

from varireal.compute.engines.local import LocalEngine
from varireal.config import ComputeConfig, EditConfig, InpaintConfig, MemoryConfig, PriorConfig, Recipe
from varireal.editing.editors import DiffusionEditor
from varireal.editing.inpaint import Inpainter
from varireal.editing.jobs import Wording
from varireal.editing.refine import Refiner
from varireal.editing.run import EditRun
from varireal.prompts.templates import Sentence

CPU, PLAIN = ComputeConfig(device="cpu"), MemoryConfig()
Draw = Callable[[list[Sentence]], list[np.ndarray]]


@pytest.fixture(params=["xl", "sd15", "refiner"])
def make(request: pytest.FixtureRequest) -> Callable[..., tuple[Any, Draw]]:
    """Return a function that makes a model, and another one that lets it draw two pictures."""

    def inpainter(memory: MemoryConfig = PLAIN, **settings: Any) -> tuple[Any, Draw]:
        folder = request.getfixturevalue("tiny_sdxl_inpaint" if request.param == "xl" else "tiny_sd_inpaint")
        model = Inpainter(InpaintConfig(checkpoint=str(folder), **settings), CPU, memory)
        return model, lambda sentences: model.paint(**{**inputs(2), "sentences": sentences}, **SETTINGS)

    def refiner(memory: MemoryConfig = PLAIN) -> tuple[Any, Draw]:
        model = Refiner(section(request.getfixturevalue("refiners")), CPU, 1.0, memory)
        return model, lambda sentences: model.refine(**{**refining_inputs(2), "sentences": sentences}, **REFINING)

    return refiner if request.param == "refiner" else inpainter


KNOWN = [Sentence("a photo of a red jet"), Sentence("a photo of a blue jet", "blue", 1.4)]
UNKNOWN = [Sentence("a photo of a lime jet"), Sentence("a photo of a red jet", "jet", 0.6)]


def encoders(model: Any) -> list[Any]:
    """The text encoders of the loaded pipeline."""
    return [part for name, part in model._pipeline.pipe.components.items() if "text_encoder" in name and part]


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_encoders_are_gone_once_all_is_embedded_and_loaded_again_for_a_sentence_that_nobody_expected(
    make, monkeypatch, caplog
) -> None:
    plain, draw_plain = make()
    expected = draw_plain(KNOWN), draw_plain(UNKNOWN)
    made: list[weakref.ref[Any]] = []
    for kind in {type(each) for each in encoders(plain)}:
        first = kind.__init__

        def remember(self: Any, *arguments: Any, first: Any = first, **named: Any) -> None:
            made.append(weakref.ref(self))
            first(self, *arguments, **named)

        monkeypatch.setattr(kind, "__init__", remember)
    model, draw = make()
    model.expect(KNOWN)
    model.load()
    gc.collect()
    assert encoders(model) == [] and made and not any(encoder() for encoder in made)  # nobody holds their parameters
    assert same(draw(KNOWN), expected[0]) and encoders(model) == []
    with caplog.at_level(logging.INFO, "varireal.editing.pipelines"):
        assert same(draw(UNKNOWN), expected[1])
    assert "again, for a sentence that was not expected" in caplog.records[0].getMessage()
    assert len(encoders(model)) == len(encoders(plain)) and same(draw(KNOWN), expected[0])
    assert len(encoders(model)) == len(encoders(plain))  # from now on they stay


@pytest.mark.parametrize("make", ["xl", "refiner"], indirect=True)
def test_offloaded_networks_do_without_them_too(make, monkeypatch) -> None:
    """The hooks that bring networks to a GPU and back are told that it is the CPU, which they do not mind."""
    monkeypatch.setattr("varireal.editing.pipelines.check_memory", lambda *_: None)
    _, draw_plain = make()
    model, draw = make(MemoryConfig(offload=True))
    model.expect(KNOWN)
    expected = draw_plain(KNOWN)
    for _ in range(2):  # hooks are taken off and put on again after every batch
        assert same(draw(KNOWN), expected)
        assert encoders(model) == []
        hooked = {type(hook.model).__name__ for hook in model._pipeline.pipe._all_hooks}
        assert "UNet2DConditionModel" in hooked and not any("CLIPText" in name for name in hooked)


@pytest.mark.parametrize("make", ["sd15"], indirect=True)
def test_they_stay_where_more_sentences_come_than_are_kept(make, monkeypatch) -> None:
    monkeypatch.setattr("varireal.editing.embeddings.KEPT_BYTES", 1)
    _, draw_plain = make()
    model, draw = make()
    model.expect(KNOWN)
    model.load()
    assert encoders(model) and same(draw(KNOWN), draw_plain(KNOWN))


@pytest.mark.parametrize("make", ["sd15"], indirect=True)
def test_sentences_are_expected_without_emphasis_where_they_are_read_so(make) -> None:
    model, draw = make(emphasis=False)
    model.expect(KNOWN)
    plain = [Sentence(each.text) for each in KNOWN]
    pictures = draw(KNOWN)
    assert encoders(model) == [] and same(pictures, make()[1](plain))


def test_a_killed_run_that_expected_its_words_ends_with_the_bytes_of_one_that_did_not(
    tiny_sd_inpaint, make_photo, make_job, work, tmp_path, monkeypatch
) -> None:
    recipe = Recipe(num_inference_steps=2, strength=1.0, guidance_scale=2.0, dilation=1, mask_blur=0.7, alpha=0.8)
    config = EditConfig(
        method="diffusion", prior=PriorConfig(source="pictures"), recipes={},
        inpaint=InpaintConfig(checkpoint=str(tiny_sd_inpaint), batch_size=2),
    )  # fmt: skip
    jobs = [make_job(make_photo(f"jet/{number}"), "color") for number in range(3)]

    def make_run(wordings: Sequence[Wording]) -> tuple[DiffusionEditor, EditRun]:
        editor = DiffusionEditor(config, recipe, None, CPU)
        editor.expect(wordings)
        options = {"max_attempts": 1, "batch_size": 2, "keep_priors": False}
        return editor, EditRun(editor, no_filter(), None, LocalEngine(one_worker, ("torch",)), **options)

    one_worker = ComputeConfig(device="cpu", workers=1)
    _, run = make_run([])
    expected = pictures(run, finish(run, jobs))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "killed"))
    words = list(dict.fromkeys(job.wording for job in jobs))
    _, killed = make_run(words)
    put, done = killed._images.put, []

    def put_once(*arguments: Any) -> Any:
        if done:
            raise KeyboardInterrupt
        done.append(arguments)
        return put(*arguments)

    monkeypatch.setattr(killed._images, "put", put_once)
    with pytest.raises(KeyboardInterrupt):
        finish(killed, jobs)
    editor, resumed = make_run(words)
    assert pictures(resumed, finish(resumed, jobs)) == expected
    assert encoders(editor._inpainter) == []
