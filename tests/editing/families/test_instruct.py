"""Edits by instruction: nothing outside of the region changes, and what the model changed there is measured first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.editing.scripted import finish, no_filter

from varireal.base.files import decode_png, read_image, read_mask
from varireal.base.manifest import read_manifest
from varireal.compute.engines.local import LocalEngine
from varireal.config import ComputeConfig, EditConfig, InstructConfig, Recipe
from varireal.editing import EDITORS
from varireal.editing.editors import InstructEditor
from varireal.editing.jobs import EditJob
from varireal.editing.outputs import write_cell
from varireal.editing.pixels import difference, dilate
from varireal.editing.run import EditRun
from varireal.errors import UserError

SIDE = 64  # pixels: klein reads no smaller photos
CPU = ComputeConfig(device="cpu", workers=1)
RECIPE = Recipe(num_inference_steps=2, guidance_scale=2.0, dilation=1, mask_blur=0.7)
WORDS = InstructConfig(
    domain_word="plane",
    sentences={
        "background": "Put {an object} {phrase}{details}.",
        "color": "Paint the {object} {phrase}.",
        "texture": "Make the {class} {name}.",
    },
)
pytestmark = pytest.mark.parametrize("kind", ["flux2"], indirect=True)


@pytest.fixture
def make_config(checkpoint: Path) -> Callable[..., EditConfig]:
    def make(folder: Path = checkpoint, **settings: Any) -> EditConfig:
        inpaint = {"checkpoint": str(folder), "image_size": SIDE, "batch_size": 2, **settings}
        return EditConfig.model_validate(
            {
                "method": "instruct",
                "prior": {"source": "pictures"},
                "inpaint": inpaint,
                "instruct": WORDS,
                "recipes": {},
            }
        )

    return make


@pytest.fixture
def make_editor(make_config: Callable[..., EditConfig]) -> Callable[..., InstructEditor]:
    def make(recipe: Recipe = RECIPE, **settings: Any) -> InstructEditor:
        return EDITORS["instruct"](make_config(**settings), recipe, None, CPU)

    return make


@pytest.mark.parametrize("attribute", ["background", "color", "texture"])
def test_pixels_outside_are_the_photo_s_and_what_the_model_did_there_is_measured(
    attribute, make_editor, make_photo, make_job
) -> None:
    editor, job = make_editor(), make_job(make_photo(height=SIDE, width=SIDE), attribute)
    [draft] = editor.edit([job], [5])
    photo, mask = read_image(Path(job.photo.path)), read_mask(Path(str(job.photo.mask_path)))
    region = ~dilate(mask, 1) if attribute == "background" else dilate(mask, 1)
    changed = (draft.picture != photo).any(axis=-1)
    assert not changed[~region].any() and changed[region].mean() > 0.9
    assert draft.prior is photo or np.array_equal(draft.prior, photo)

    # the photo fits the square, so that the model's own picture is as large as the photo
    instruction = editor._steps[0].instruction(job)
    [raw] = editor._model.draw([photo], [instruction], [5], guidance_scale=2.0, num_inference_steps=2)
    expected = float(difference(photo, raw)[~region].mean())
    assert draft.measured == {"changed_outside": pytest.approx(expected, abs=1e-4)} and expected > 5


def test_the_instruction_is_written_from_the_value(make_editor, make_photo, make_job) -> None:
    tell = make_editor()._steps[0].instruction
    photo = make_photo()
    assert [tell(make_job(photo, attribute)) for attribute in ("background", "color", "texture")] == [
        "Put a jet plane on a lava field.", "Paint the jet plane red.", "Make the jet brick.",
    ]  # fmt: skip
    assert tell(make_job(photo, "background")) != make_job(photo, "background").prompt  # which stays a description


def test_manifest_and_figures_say_what_was_changed_outside(
    make_config, make_editor, make_photo, make_job, work, tmp_path
) -> None:
    jobs: list[EditJob] = [make_job(make_photo(f"jet/{number}"), "color") for number in range(3)]

    def written(folder: Path) -> tuple[dict[str, Any], list[Any], list[bytes]]:
        options = {"max_attempts": 1, "batch_size": 2, "keep_priors": False}
        run = EditRun(make_editor(), no_filter(), None, LocalEngine(CPU, ("torch",)), **options)
        folder.mkdir()
        edits = finish(run, jobs)
        figures = write_cell(folder, Path("edits"), run, edits, make_config())
        return figures, read_manifest(folder / "manifest.parquet"), [run.files(e.chosen)["image.png"] for e in edits]

    figures, records, pictures = written(tmp_path / "first")
    found = [json.loads(str(record.attempts))[0]["measured"]["changed_outside"] for record in records]
    assert all(value > 0 for value in found)
    assert figures == {"mean_changed_outside": pytest.approx(sum(found) / 3, abs=1e-3)}
    assert json.loads(str(records[0].settings))["instruct"] == WORDS.model_dump(mode="json")
    for job, data in zip(jobs, pictures):
        changed = (decode_png(data) != read_image(Path(job.photo.path))).any(axis=-1)
        assert not changed[~dilate(read_mask(Path(str(job.photo.mask_path))), 1)].any()
    assert written(tmp_path / "again") == (figures, records, pictures)  # found, measures too


def test_a_number_that_nothing_reads_makes_no_edit_anew(make_editor) -> None:
    plain = make_editor().identity
    unread = {"strength": 0.3, "alpha": 0.2, "detail": 0.5, "region": "seam", "seam_width": 9}
    assert make_editor(RECIPE.model_copy(update=unread)).identity == plain
    assert make_editor(RECIPE.model_copy(update={"mask_blur": 2.0})).identity != plain


def test_a_checkpoint_that_wants_a_mask_is_refused(make_editor, tiny_sd_inpaint) -> None:
    with pytest.raises(
        UserError, match=r"^edit\.inpaint\.checkpoint = .* of family sd, which has no pipeline"
    ) as error:
        make_editor(folder=tiny_sd_inpaint)
    assert "edit.method" in str(error.value) and "\n" not in str(error.value)


def test_an_attribute_without_an_instruction_is_refused_when_settings_are_read(make_config) -> None:
    settings = make_config().model_dump(mode="json", exclude_unset=True)
    settings["recipes"] = {"color": {"feasible": {}}}
    settings["instruct"]["sentences"].pop("color")
    with pytest.raises(ValueError, match=r"method instruct needs instruct\.sentences for color"):
        EditConfig.model_validate(settings)
