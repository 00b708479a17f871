"""What a preview warns of, by its bounds."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from varireal.base.manifest import ImageRecord
from varireal.editing.attempts import Attempt, Edit, FilterAnswer
from varireal.editing.jobs import EditJob
from varireal.measuring.strength import Strength
from varireal.previewing.cells import PreviewedCell, PreviewedEdit
from varireal.previewing.probe import Measured
from varireal.previewing.sample import FoundMasks, choose_photos
from varireal.previewing.tables import cells_grid
from varireal.previewing.warnings import warn
from varireal.prompts import AttributeSpec

PHOTO = ImageRecord("jet/0", "p.png", "photo", "train", "jet", 0, 8, 8, "0", "jet/0")
YES, NO = FilterAnswer(True, {"attribute": 0.9}, 0.9), FilterAnswer(False, {"attribute": 0.1}, 0.1)
GOOD = Strength(delta_e=30.0, untouched=0.1, lost=0.0, same=False)


def edit(answers: list[FilterAnswer], strength: Strength | None = GOOD, unedited: FilterAnswer = NO) -> PreviewedEdit:
    job = EditJob(PHOTO, "0", "color", "feasible", 0, AttributeSpec(name="red", phrase="red"), "a red jet", 0)
    tried = tuple(Attempt(job, number, number, "k", "a", answer) for number, answer in enumerate(answers))
    return PreviewedEdit(Edit(job, tried, None if strength else "no memory"), strength, unedited)


def cell(edits: list[PreviewedEdit], feasibility: Any = "feasible", attribute: Any = "color") -> PreviewedCell:
    thresholds = {"attribute": 0.5}
    return PreviewedCell(attribute, feasibility, thresholds, edits, [], [], Measured(), Measured(), 0.0, 0.0)


def masks(failed: int = 0) -> FoundMasks:
    bad = dataclasses.replace(PHOTO, status="failed", note="too small")
    return FoundMasks([bad] * failed + [PHOTO] * (10 - failed), Measured())


ORDINARY = [edit([YES]), edit([NO, YES])]


def test_a_preview_as_it_should_be_warns_of_nothing() -> None:
    assert warn(masks(1), [cell(ORDINARY), cell(ORDINARY, "infeasible")], [1.0, 0.99]) == []


@pytest.mark.parametrize(("cells", "chance", "words"), [
    ([cell([edit([YES], unedited=YES), edit([NO, YES])] )], 0.5, "mix can be served with a chance of 50 %"),
    ([cell([edit([NO, YES], unedited=YES)] * 2)], 1.0, "accepts 2 of 2 photos that nobody edited"),
    ([cell([edit([YES])] * 3)], 1.0, "accepted every attempt at all 3 edits"),
    ([cell([edit([NO, NO])] * 3)], 1.0, "accepted none of 6 attempts"),
    ([cell([*ORDINARY, edit([YES], dataclasses.replace(GOOD, same=True))])], 1.0, "1 edit equal to the photo"),
    ([cell([*ORDINARY, edit([], None)])], 1.0, "1 edit could not be made (the first: no memory)"),
    ([cell([edit([NO, YES], dataclasses.replace(GOOD, lost=0.06))])], 1.0, "6 % of the surroundings is changed"),
    ([cell([edit([NO, YES], dataclasses.replace(GOOD, lost=0.3))], attribute="background")], 1.0, "30 % of the object"),
    ([cell([edit([NO, YES], dataclasses.replace(GOOD, delta_e=9.9))])], 1.0, "by ΔE 9.9 on the mean"),
    ([cell(ORDINARY), cell([edit([NO, YES], dataclasses.replace(GOOD, delta_e=60))], "infeasible")], 1.0,
     "feasible edits change colours by ΔE 30 on the mean, infeasible ones by 60"),
])  # fmt: skip
def test_what_is_beyond_a_bound_is_named(cells: list[PreviewedCell], chance: float, words: str) -> None:
    [line] = warn(masks(), cells, [chance] * len(cells))
    assert words in line


def test_masks_that_fail_are_named() -> None:
    [line] = warn(masks(2), [cell(ORDINARY)], [None])
    assert line.startswith("2 of 10 masks cannot be used (the first, of jet/0: too small)")


def test_the_table_counts_edits_attempts_and_photos_that_the_filter_accepts() -> None:
    [line] = cells_grid([cell([*ORDINARY, edit([NO, NO], unedited=YES), edit([], None)])], [0.875]).lines
    assert line.cells == ("color feasible", "2 of 3", "5", "attribute 0.37", "1 of 3", "30", "10 %", "0 %", "88 %")


def test_edits_that_nothing_judges_are_called_so() -> None:
    unasked = FilterAnswer(True, {}, 0.0)
    free = dataclasses.replace(cell([edit([unasked], unedited=unasked)] * 3), thresholds={})
    [line] = warn(masks(), [free], [1.0])
    assert line.startswith("nothing judges the edits (filter.name: none)")
    [row] = cells_grid([free], [1.0]).lines
    assert row.cells[:5] == ("color feasible", "3, not judged", "3", "–", "–")


def test_photos_are_spread_over_classes_and_more_are_the_same_and_others() -> None:
    photos = [
        dataclasses.replace(PHOTO, image_id=f"{name}/{number}", class_name=name)
        for name in "abc"
        for number in range(4)
    ]
    three = choose_photos(photos, 3, seed=0)
    assert {photo.class_name for photo in three} == set("abc")
    assert choose_photos(list(reversed(photos)), 5, seed=0)[:3] == three
    assert len(choose_photos(photos, 99, seed=0)) == 12
    assert choose_photos(photos, 3, seed=1) != three
