from __future__ import annotations

import subprocess
import sys
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varireal.base.manifest import FEASIBILITIES, ImageRecord, usable
from varireal.errors import UserError
from varireal.training.mixing import choose, describe, images_by_class, infeasible_counts

FEWER = settings(max_examples=30)  # each example builds several sets
CLASSES = ("biplane", "glider", "trijet")
RATIOS = st.integers(0, 100).map(lambda percent: percent / 100)


def edit(class_name: str, photo: int, feasibility: str, index: int = 0, status: str = "accepted") -> ImageRecord:
    photo_id = f"{class_name}/{photo}"
    return ImageRecord(
        image_id=f"{photo_id}#{feasibility}{index}", path=f"{photo_id}.png", origin="edit", split="train",
        class_name=class_name, class_index=CLASSES.index(class_name), width=8, height=8, sha256="0", photo_id=photo_id,
        status=status, attribute="color", feasibility=feasibility, index=index,
    )  # fmt: skip


def edits(photos: int = 6, per_photo: int = 1) -> dict[str, list[ImageRecord]]:
    return {
        kind: [edit(name, n, kind, k) for name in CLASSES for n in range(photos) for k in range(per_photo)]
        for kind in FEASIBILITIES
    }


@st.composite
def uneven_edits(draw: st.DrawFn) -> dict[str, list[ImageRecord]]:
    """Each class has its own number of photos and of edits of each kind, one of each at least."""
    rows: dict[str, list[ImageRecord]] = {}
    for kind in FEASIBILITIES:
        rows[kind] = []
        for name in CLASSES:
            slots = draw(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=12))
            rows[kind] += [edit(name, photo, kind, index) for photo, index in sorted(slots)]
    return rows


def pick(rows, condition="mixed", ratio=0.5, images=None, seed=0):
    share = {"feasible": 0.0, "infeasible": 1.0, "mixed": ratio}[condition]
    return choose(rows, CLASSES, "color", share, images, seed)


@FEWER
@given(uneven_edits(), RATIOS, st.integers(0, 3))
def test_every_condition_has_the_same_number_of_images_of_each_class(rows, ratio, seed):
    counts = {
        condition: Counter(r.class_name for r in pick(rows, condition, ratio, seed=seed))
        for condition in ("feasible", "infeasible", "mixed")
    }
    smallest = {name: min(sum(r.class_name == name for r in rows[kind]) for kind in FEASIBILITIES) for name in CLASSES}
    assert counts["feasible"] == counts["infeasible"] == counts["mixed"] == Counter(smallest)


@FEWER
@given(uneven_edits(), RATIOS)
def test_the_infeasible_total_is_the_ratio_rounded_half_up_and_no_image_comes_twice(rows, ratio):
    chosen = pick(rows, ratio=ratio)
    exact = Fraction(round(ratio * 100), 100) * len(chosen)
    infeasible = sum(record.feasibility == "infeasible" for record in chosen)
    assert abs(infeasible - exact) <= Fraction(1, 2) and infeasible != exact - Fraction(1, 2)
    assert len({record.image_id for record in chosen}) == len(chosen)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), RATIOS)
def test_no_class_is_a_whole_image_away_from_its_quota(sizes, ratio):
    counts = infeasible_counts(sizes, ratio, ties=range(len(sizes)))
    for count, size in zip(counts, sizes):
        assert abs(count - Fraction(round(ratio * 100), 100) * size) < 1


def test_largest_remainders_get_what_is_left():
    # quotas 1.5, 1.2, 0.9 of a total of 3.6: four images; one each from the whole parts, then 0.9 and 0.5
    assert infeasible_counts([5, 4, 3], 0.3, ties=[0, 1, 2]) == [2, 1, 1]
    # equal remainders of one half, a total of 1.5 rounded up to two: the order of the ties decides
    assert infeasible_counts([1, 1, 1], 0.5, ties=[7, 3, 5]) == [0, 1, 1]
    # 0.15 * 10 is exactly one and a half in decimal, though not as a binary float
    assert infeasible_counts([10], 0.15, ties=[0]) == [2]


@FEWER
@given(uneven_edits(), st.randoms(use_true_random=False), RATIOS, st.sampled_from(("feasible", "infeasible", "mixed")))
def test_the_order_of_the_records_does_not_matter(rows, random, ratio, condition):
    shuffled = {kind: random.sample(records, len(records)) for kind, records in rows.items()}
    key = lambda record: record.image_id  # noqa: E731
    assert sorted(pick(rows, condition, ratio), key=key) == sorted(pick(shuffled, condition, ratio), key=key)


@FEWER
@given(uneven_edits())
def test_pure_conditions_hold_their_own_kind_only(rows):
    for condition in FEASIBILITIES:
        assert {record.feasibility for record in pick(rows, condition)} == {condition}


def test_without_infeasible_edits_in_the_grid_the_feasible_condition_takes_all():
    rows = {"feasible": edits(photos=3)["feasible"]}
    assert len(pick(rows, "feasible")) == 9


@given(RATIOS)
def test_a_mixed_set_shows_every_photo_once_when_the_pure_sets_do(ratio):
    chosen = pick(edits(photos=6), ratio=ratio)
    assert len({record.photo_id for record in chosen}) == len(chosen) == 18


def test_a_larger_ratio_only_exchanges_images():
    low, high = (pick(edits(photos=8), ratio=ratio) for ratio in (0.25, 0.5))
    infeasible = [{r.image_id for r in rows if r.feasibility == "infeasible"} for rows in (low, high)]
    feasible = [{r.image_id for r in rows if r.feasibility == "feasible"} for rows in (low, high)]
    assert infeasible[0] < infeasible[1] and feasible[1] < feasible[0]


def test_with_several_edits_a_photo_all_photos_come_before_one_comes_twice():
    chosen = pick(edits(photos=4, per_photo=3), "feasible", images=4)
    assert Counter(record.photo_id for record in chosen) == Counter(f"{name}/{n}" for name in CLASSES for n in range(4))


def test_seeds_give_different_sets():
    sets = {frozenset(r.image_id for r in pick(edits(photos=12), "feasible", images=4, seed=seed)) for seed in range(6)}
    assert len(sets) > 1


def test_a_class_without_usable_edits_is_named_with_its_cell():
    rows = edits()
    rows["infeasible"] = [record for record in rows["infeasible"] if record.class_name != "glider"]
    with pytest.raises(UserError, match="'glider' has no usable edit in the cell color infeasible"):
        pick(rows, "feasible")


def test_too_many_images_per_class_are_refused_with_the_number_there_is():
    rows = edits(photos=5)
    rows["feasible"].remove(edit("trijet", 2, "feasible"))
    with pytest.raises(UserError, match=r"images_per_class = 5, but class 'trijet' has only 4 .* color feasible"):
        pick(rows, images=5)
    assert images_by_class(rows, CLASSES, 4, "color") == [4, 4, 4]


def test_exhausted_edits_are_left_out_unless_asked_for_and_failed_ones_always():
    rows = [
        edit("glider", n, "feasible", status=status) for n, status in enumerate(("accepted", "exhausted", "failed"))
    ]
    assert [row.status for row in usable(rows, include_exhausted=False)] == ["accepted"]
    assert [row.status for row in usable(rows, include_exhausted=True)] == ["accepted", "exhausted"]


def test_the_description_counts_classes_photos_and_shares():
    figures = describe(pick(edits(photos=4), ratio=0.25), CLASSES)
    assert figures["images"] == figures["photos"] == 12
    assert figures["infeasible_share"] == 0.25
    assert figures["classes"]["glider"] == {"feasible": 3, "infeasible": 1}


def test_mixing_imports_no_network_library():
    code = (
        "import sys; import varireal.stages.mix, varireal.training.mixing; import pyarrow.parquet; "
        "print([name for name in ('torch', 'diffusers', 'transformers', 'open_clip', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
