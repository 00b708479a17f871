"""`varireal edit` ends early where it could not end well: a class without usable edits, or too many set aside."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tests.tiny_study import CELLS, SIDE, TO_MIX, change, make_study, run_stages

from varireal import paths
from varireal.base.files import encode_png, read_json
from varireal.base.manifest import read_manifest, write_manifest
from varireal.editing.attempts import FilterAnswer
from varireal.editing.editors import PasteEditor
from varireal.editing.filters.none import NoFilter
from varireal.errors import UserError

FIGURES = paths.METRICS / "edit" / "color_feasible.json"
FOLDER = paths.edit_folder("color", "feasible")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: three photos of each of the classes a, b and c, to be edited twice, two at a time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    make_study(Path("no clip"))
    change(edit__inpaint__batch_size=2, compute__workers=1)
    run_stages(TO_MIX[:3])
    return tmp_path


def edit() -> None:
    run_stages([["edit", *CELLS[0]]])


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the filter refuse all edits of the class a; return the classes that it is asked about, as they come."""
    asked: list[str] = []

    def check(self, images, jobs):
        asked.extend(job.photo.class_name for job in jobs)
        return [FilterAnswer(job.photo.class_name != "a", {}, 0.0) for job in jobs]

    monkeypatch.setattr(NoFilter, "check", check)
    change(filter__max_attempts=2)
    return asked


def test_a_class_without_a_usable_edit_ends_the_stage_in_one_line(study: Path, judged: list[str]) -> None:
    with pytest.raises(
        UserError, match=r"class 'a' has no usable edit among its 6 of the cell color feasible"
    ) as error:
        edit()
    assert "\n" not in str(error.value) and "mix.include_exhausted" in str(error.value)
    assert not FOLDER.exists() and not FIGURES.exists()


def test_exhausted_edits_serve_where_the_mix_takes_them(study: Path, judged: list[str]) -> None:
    with pytest.raises(UserError):
        edit()
    judged.clear()
    change(mix__include_exhausted=True)
    edit()
    assert judged == []  # all that was made has stayed
    figures = read_json(FIGURES)
    assert (figures["edits"], figures["accepted"], figures["exhausted"]) == (18, 12, 6)


def test_it_ends_after_the_edits_of_that_class_and_not_after_the_cell(
    study: Path, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self, images, jobs):
        judged.extend(job.photo.class_name for job in jobs)
        return [FilterAnswer(False, {}, 0.0) for _ in jobs]

    monkeypatch.setattr(NoFilter, "check", refuse)
    with pytest.raises(UserError, match=r"class 'a' has no usable edit"):
        edit()
    assert [judged.count(name) for name in "abc"] == [12, 6, 6]


def test_it_ends_as_soon_as_a_class_cannot_get_what_mix_asks_for(study: Path, judged: list[str]) -> None:
    """Of each class 4 of 6 edits are asked for, and those of a are refused: 3 of them are too many."""
    change(mix__images_per_class=4)
    with pytest.raises(
        UserError, match=r"class 'a' can have no more than 3 usable edits of 6 .* color feasible.*_class = 4"
    ) as error:
        edit()
    said = str(error.value)
    assert "\n" not in said and "lower mix.images_per_class" in said and "mix.include_exhausted" in said
    assert not FOLDER.exists() and not FIGURES.exists()


def test_a_class_that_has_just_as_many_as_mix_asks_for_goes_on(
    study: Path, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = set(sorted(name for name in _names() if name.startswith("a/"))[:2])

    def check(self, images, jobs):
        return [FilterAnswer(job.image_id not in refused, {}, 0.0) for job in jobs]

    monkeypatch.setattr(NoFilter, "check", check)
    change(mix__images_per_class=4)
    edit()
    assert read_json(FIGURES)["accepted"] == 16
    change(mix__images_per_class=5)
    with pytest.raises(UserError, match=r"class 'a' can have no more than 4 usable edits of 6"):
        edit()


def test_exhausted_edits_count_for_it_where_the_mix_takes_them(study: Path, judged: list[str]) -> None:
    change(mix__images_per_class=6, mix__include_exhausted=True)
    edit()
    assert read_json(FIGURES)["exhausted"] == 6


def test_more_images_than_a_class_has_edits_are_refused_before_the_first_one(study: Path, judged: list[str]) -> None:
    change(mix__images_per_class=7, mix__include_exhausted=True)
    with pytest.raises(UserError, match=r"class 'a' can have no more than 6 usable .*images_per_class = 7") as error:
        edit()
    assert judged == [] and not Path(".work/edit").exists()
    assert "edit.edits_per_photo" in str(error.value) and "filter" not in str(error.value)


def test_masks_that_turn_out_unusable_late_count_too(study: Path) -> None:
    """The last photo of b is left out once its mask is looked at: four edits remain."""
    last = [record for record in read_manifest(paths.MASKS_MANIFEST) if record.class_name == "b"][-1]
    Path(str(last.mask_path)).write_bytes(encode_png(np.zeros((SIDE, SIDE), np.uint8)))
    change(mix__images_per_class=4)
    edit()
    change(mix__images_per_class=5)
    with pytest.raises(UserError, match=r"class 'b' can have no more than 4 usable edits of 4"):
        edit()


@pytest.mark.parametrize("known", [True, False])
def test_a_class_without_a_photo_to_edit_is_named(study: Path, known: bool) -> None:
    records = read_manifest(paths.MASKS_MANIFEST)
    for number, record in enumerate(records):
        if record.class_name == "b" and known:
            records[number] = dataclasses.replace(record, status="failed", note="no object found")
        elif record.class_name == "b":
            Path(str(record.mask_path)).write_bytes(encode_png(np.zeros((SIDE, SIDE), np.uint8)))
    write_manifest(paths.MASKS_MANIFEST, records)
    with pytest.raises(UserError, match=r"class 'b' has no photo that can be edited in the cell color feasible"):
        edit()
    assert Path(".work/edit").exists() != known  # where the records tell it, nothing is edited


def test_edits_that_no_worker_can_do_end_the_stage_unless_they_are_few(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, places = PasteEditor.edit, [0, 7]
    poison = {sorted(_names())[place] for place in places}

    def paint(self, jobs, seeds):
        if poison.intersection(job.image_id for job in jobs):
            raise ValueError("a defect")
        return made(self, jobs, seeds)

    monkeypatch.setattr(PasteEditor, "edit", paint)
    with pytest.raises(UserError, match=r"2 of 18 edits of the cell .* were set aside \(.*max_set_aside = 0.01"):
        edit()
    assert not FOLDER.exists() and any(Path(".work/edit").iterdir())
    change(compute__max_set_aside=0.2)
    edit()
    figures = read_json(FIGURES)
    assert figures["edits"] == 16 and set(figures["failed_edits"]) == poison
    poison.pop()
    change(compute__max_set_aside=0.0)
    with pytest.raises(UserError, match=r"1 of 18 edits .*allows \(0\)"):
        edit()
    change(compute__max_set_aside=0.01)
    edit()  # a single one may always be left out
    assert read_json(FIGURES)["edits"] == 17


def _names() -> list[str]:
    photos = read_manifest(paths.MASKS_MANIFEST)
    return [f"{photo.image_id}#color-feasible-{index}" for photo in photos for index in range(2)]
