"""Wrong labels of a known share, and two draws that differ by nothing but the draw."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.training.test_mixing import CLASSES, FEWER, edit, edits, pick, uneven_edits

from varireal.base.manifest import read_manifest, write_manifest
from varireal.errors import UserError
from varireal.training.controls import label_wrongly, wrong_classes
from varireal.training.mixing import candidates, choose


def draw(rows, swapped: bool, seed: int = 0):
    return choose(rows, CLASSES, "color", 0.5, None, seed, swapped=swapped)


@FEWER
@given(uneven_edits(), st.integers(0, 3))
def test_both_draws_have_the_same_number_of_each_class_and_feasibility(rows, seed):
    first, second = (Counter((r.class_name, r.feasibility) for r in draw(rows, s, seed)) for s in (False, True))
    assert first == second


def test_the_second_draw_has_of_every_photo_the_other_edit():
    rows = edits(photos=6)
    first, second = ({r.photo_id: r.feasibility for r in draw(rows, swapped)} for swapped in (False, True))
    assert len(first) == len(second) == 18  # every photo once
    assert all(first[photo] != second[photo] for photo in first)


def test_of_an_odd_class_one_photo_keeps_its_edit():
    rows = {kind: [edit("glider", n, kind) for n in range(5)] for kind in ("feasible", "infeasible")}
    sets = [choose(rows, ["glider"], "color", 0.5, None, 0, swapped=swapped) for swapped in (False, True)]
    assert [sum(r.feasibility == "infeasible" for r in each) for each in sets] == [3, 3]  # 2.5 rounded up, in both
    assert len({r.image_id for r in sets[0]} & {r.image_id for r in sets[1]}) == 1


def test_the_first_draw_is_the_mixed_condition_at_a_ratio_of_a_half_so_nothing_is_trained_twice():
    rows = edits(photos=5, per_photo=2)
    assert draw(rows, swapped=False) == pick(rows, "mixed", 0.5)


def test_which_draw_gets_a_photos_feasible_edit_is_chance():
    rows = edits(photos=2)
    taken = [
        next(r.feasibility for r in draw(rows, swapped=False, seed=seed) if r.photo_id == "glider/0")
        for seed in range(200)
    ]
    assert 72 <= taken.count("feasible") <= 128  # 100 expected; four standard deviations of a fair coin


@FEWER
@given(st.lists(st.integers(1, 15), min_size=3, max_size=3), st.integers(0, 3))
def test_every_class_loses_its_share_and_a_smaller_share_is_part_of_a_larger_one(sizes, seed):
    rows = [edit(name, n, "feasible") for name, size in zip(CLASSES, sizes) for n in range(size)]
    fewer, more = (wrong_classes(rows, CLASSES, share, seed) for share in (0.1, 0.2))
    assert (len(fewer), len(more)) == tuple(max(1, int(share * len(rows) + 0.5)) for share in (0.1, 0.2))
    assert fewer.items() <= more.items()
    own = {r.image_id: r.class_index for r in rows}
    assert all(place != own[image_id] and 0 <= place < 3 for image_id, place in more.items())
    for name, size in zip(CLASSES, sizes):
        wrong = sum(r.image_id in more for r in rows if r.class_name == name)
        assert abs(wrong - 0.2 * size) <= 1


def test_wrong_classes_are_the_others_with_equal_chances_whatever_the_order_of_the_edits():
    rows = [edit("glider", n, "feasible") for n in range(400)]
    wrong = wrong_classes(rows, CLASSES, 0.5, seed=0)
    assert wrong == wrong_classes(rows[::-1], CLASSES, 0.5, seed=0)
    counts = Counter(wrong.values())
    assert set(counts) == {0, 2} and 72 <= counts[0] <= 128  # of 200; the class itself has index 1
    assert wrong.keys() != wrong_classes(rows, CLASSES, 0.5, seed=1).keys()


def test_one_class_has_no_wrong_labels():
    with pytest.raises(UserError, match=r"one class has no wrong labels to give; set grid\.controls to \[\]"):
        wrong_classes([edit("glider", 0, "feasible")], ["glider"], 0.2, seed=0)


def test_a_manifest_is_labelled_wrongly_and_says_so(tmp_path: Path):
    path = tmp_path / "manifest.parquet"
    rows = [edit(name, n, "feasible") for name in CLASSES for n in range(5)]
    write_manifest(path, rows)
    before = read_manifest(path)
    label_wrongly(path, wrong := wrong_classes(list(candidates(path)), CLASSES, 0.2, seed=0), CLASSES)
    changed = 0
    for old, new in zip(before, read_manifest(path), strict=True):
        if old == new:
            continue
        changed += 1
        assert (new.class_name, new.class_index) == (CLASSES[wrong[old.image_id]], wrong[old.image_id])
        assert new.note == f"labelled wrongly on purpose: it shows {old.class_name}"
        assert (new.image_id, new.path, new.sha256) == (old.image_id, old.path, old.sha256)
    assert changed == len(wrong) == 3
