"""Which edits are made, of which photos, with which values and seeds."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from varireal.editing.jobs import JobPlan, assign_values
from varireal.editing.pixels import dilate
from varireal.errors import UserError
from varireal.prompts import AttributeSpec, PromptTable

NAMES = ("red", "white", "yellow", "silver")
COLORS = [AttributeSpec(name=name, phrase=name, rgb=(index, 2, 3)) for index, name in enumerate(NAMES)]
ODD = [AttributeSpec(name=name, phrase=name, rgb=(1, index, 2)) for index, name in enumerate(("pink", "lime"))]
TABLE = PromptTable(
    domain_word="aircraft",
    classes=["jet"],
    attributes={"color": {"feasible": {"jet": COLORS}, "infeasible": {"jet": ODD}}},
)


def plan(photos, edits_per_photo: int = 2, seed: int = 0, feasibility: str = "feasible", **more):
    """Return the jobs of photos, which come sorted as a manifest has them, and the failures."""
    made = JobPlan(
        lambda: sorted(photos, key=lambda photo: photo.image_id),
        TABLE,
        attribute="color",
        feasibility=feasibility,
        edits_per_photo=edits_per_photo,
        seed=seed,
        **more,
    )
    jobs = list(made)
    count, specs = made.survey()
    assert count >= len(jobs) and {job.spec for job in jobs} <= set(specs)
    assert {job.wording for job in jobs} <= set(made.wordings) and len(set(made.wordings)) == len(made.wordings)
    return jobs, made.failures


def test_a_photo_gets_different_values_and_cycles_when_they_run_out() -> None:
    values = assign_values(COLORS, 10, 0, "jet/0", "color", "feasible")
    first = [spec.name for spec in values[:4]]
    assert sorted(first) == sorted(NAMES)
    assert [spec.name for spec in values] == (first * 3)[:10]


def test_matched_cells_pair_their_colours_index_by_index(make_photo, monkeypatch: pytest.MonkeyPatch) -> None:
    strength = {(0, 2, 3): 20.0, (1, 2, 3): 40.0, (2, 2, 3): 60.0, (3, 2, 3): 90.0, (1, 0, 2): 42.0, (1, 1, 2): 19.0}
    monkeypatch.setattr("varireal.editing.colours.change_by", lambda photo, mask, rgb: strength[tuple(rgb)])
    photos = [make_photo(f"jet/{k}") for k in range(3)]
    names = {}
    for feasibility in ("feasible", "infeasible"):
        jobs, _ = plan(photos, edits_per_photo=3, feasibility=feasibility, match_strength=5.0)
        names[feasibility] = [job.spec.name for job in jobs]
    pairs = list(zip(*names.values()))
    assert set(pairs) == {("red", "lime"), ("white", "pink")}  # 20 and 19, 40 and 42
    assert len(pairs) == 9 and pairs[2] == pairs[0] != pairs[1]  # two pairs a photo, then the first again
    assert names["feasible"] != [job.spec.name for job in plan(photos, edits_per_photo=3)[0]]


def test_photos_differ_in_their_order_of_values_and_use_all_equally_often() -> None:
    firsts = Counter(assign_values(COLORS, 1, 0, f"jet/{k}", "color", "feasible")[0].name for k in range(400))
    assert set(firsts) == set(NAMES)
    assert min(firsts.values()) > 60


def test_a_sentence_emphasises_the_phrase_or_else_the_name(make_photo) -> None:
    place = AttributeSpec(name="park", phrase="in a park", weight=1.2)
    job = dataclasses.replace(plan([make_photo("jet/0")])[0][0], spec=place)
    for prompt, part in (("a jet in a park", "in a park"), ("a jet on the park", "park")):
        assert dataclasses.replace(job, prompt=prompt).sentence.parts()[-1] == (part, 1.2)


def test_only_training_photos_are_edited_in_their_order(make_photo) -> None:
    photos = [make_photo(f"jet/{k}") for k in (2, 0, 1)] + [make_photo("jet/9", split="test")]
    jobs, failures = plan(photos)
    assert [job.image_id for job in jobs] == [f"jet/{k}#color-feasible-{index}" for k in range(3) for index in range(2)]
    assert not failures
    assert jobs[0].prompt == f"a photo of a {jobs[0].spec.name} jet aircraft"


def test_every_attempt_of_every_edit_has_its_own_seed(make_photo) -> None:
    jobs, _ = plan([make_photo("jet/0"), make_photo("jet/1")])
    seeds = {job.attempt_seed(attempt) for job in jobs for attempt in range(3)}
    assert len(seeds) == 12
    other, _ = plan([make_photo("jet/0"), make_photo("jet/1")], seed=1)
    assert seeds.isdisjoint({job.attempt_seed(attempt) for job in other for attempt in range(3)})


def test_photos_without_a_usable_mask_are_named_and_left_out(make_photo) -> None:
    photos = [
        make_photo("jet/bad", status="failed", note="no object found"),
        make_photo("jet/empty", mask=np.zeros((32, 32), bool)),
        make_photo("jet/full", mask=np.ones((32, 32), bool)),
        make_photo("jet/good"),
        make_photo("jet/none", mask_path=None),
        make_photo("jet/small", mask=np.eye(16, dtype=bool)),
    ]
    jobs, failures = plan(photos, edits_per_photo=1)
    assert [job.photo.image_id for job in jobs] == ["jet/good"]
    assert {failure.photo_id: failure.note for failure in failures} == {
        "jet/bad": "no object found",
        "jet/empty": "its mask is empty",
        "jet/full": "its mask is full",
        "jet/none": "it has no mask",
        "jet/small": "its mask has 16 x 16 pixels, the photo 32 x 32",
    }


def test_a_photo_that_the_grown_object_fills_has_no_background_to_edit(make_photo) -> None:
    masks = {"jet/large": (4, 28), "jet/small": (12, 20)}  # 4 and 12 pixels off the edges of 32
    photos = []
    for name, (low, high) in masks.items():
        mask = np.zeros((32, 32), bool)
        mask[low:high, low:high] = True
        photos.append(make_photo(name, mask=mask))
    jobs, failures = plan(photos, edits_per_photo=1, region=lambda mask: ~dilate(mask, 6.0))
    assert [job.photo.image_id for job in jobs] == ["jet/small"]
    (failure,) = failures
    assert failure.photo_id == "jet/large" and "leaves no background to edit" in failure.note


def test_a_class_without_values_is_an_error_that_names_it(make_photo) -> None:
    with pytest.raises(UserError, match="glider"):
        plan([dataclasses.replace(make_photo(), class_name="glider")])


def test_an_edit_has_a_name_that_no_other_cell_gives(make_photo) -> None:
    # A mix takes from both cells, and may take both edits of one photo where the filter left few.
    cells = [plan([make_photo("jet/0")], feasibility=kind)[0] for kind in ("feasible", "infeasible")]
    names = [job.image_id for jobs in cells for job in jobs]
    assert len(set(names)) == 4


def test_the_names_of_edits_are_sorted_also_where_a_photos_name_begins_another(make_photo) -> None:
    photos = [make_photo(name) for name in ("jet/1", "jet/1 a", "jet/1!", "jet/1-b", "jet/10", "jet/2")]
    names = [job.image_id for job in plan(photos, edits_per_photo=1)[0]]
    assert names == sorted(names) and len(names) == 6
    assert names[0].startswith("jet/1 a#") and names[2].startswith("jet/1#")


def test_the_survey_counts_jobs_and_names_values_without_reading_a_mask(make_photo) -> None:
    photos = [make_photo("jet/0"), make_photo("jet/1", mask_path="missing.png"), make_photo("jet/2", status="failed")]
    made = JobPlan(lambda: photos, TABLE, attribute="color", feasibility="feasible", edits_per_photo=3, seed=0)
    count, specs = made.survey()
    assert count == 6 and len(specs) == len(set(specs)) and set(specs) <= set(COLORS)


def test_the_weight_of_a_value_emphasises_its_phrase(make_photo) -> None:
    """The bank's, or the value's own; without one the sentence is as it stands, and so are its pictures' keys."""
    weighted = {name: AttributeSpec(name=name, phrase=f"on {name}", weight=1.2) for name in ("lava", "mud")}
    weighted["mud"] = weighted["mud"].model_copy(update={"weight": 1.0})
    lists = {"feasible": {"jet": list(weighted.values())}}
    table = PromptTable(domain_word="aircraft", classes=["jet"], attributes={"background": lists})
    jobs = JobPlan(
        lambda: [make_photo()], table, attribute="background", feasibility="feasible", edits_per_photo=2, seed=0
    )
    parts = {job.spec.name: job.sentence.parts() for job in jobs}
    assert parts["lava"] == [("a photo of a jet aircraft", 1.0), ("on lava", 1.2)]
    assert parts["mud"] == [("a photo of a jet aircraft on mud", 1.0)]
