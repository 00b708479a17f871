"""Looks are planned before the first: their seeds, settings and levels."""

from __future__ import annotations

from pathlib import Path

import pytest

from varireal.base.files import write_json
from varireal.errors import UserError
from varireal.settling.plan import check_plan, plan_json, plan_looks, seeds_of

CONF = Path(__file__).parents[2] / "conf"


def test_each_look_has_the_seeds_of_the_one_before_it_and_more() -> None:
    looks = plan_looks(["grid.attributes=[color]", "grid.seeds=[7]", "settle.looks=[2,4]"], CONF)
    assert [(look.name, look.params.grid.seeds, look.level) for look in looks] == [
        ("settle-2-seeds", [7, 0], 0.025),
        ("settle-4-seeds", [7, 0, 1, 2], 0.025),
    ]
    assert looks[1].overrides == ("grid.attributes=[color]", "settle.looks=[2,4]", "grid.seeds=[7,0,1,2]")
    assert [look.fine_tunings for look in looks] == [
        seeds * (3 * 2 + 5 * 2 + 1)
        for seeds in (2, 4)  # conditions and controls by source, and real photos alone
    ]


def test_more_seeds_than_the_first_look_needs_are_kept_for_the_next() -> None:
    assert [seeds_of([5, 1, 0, 8], count) for count in (2, 4, 6)] == [[5, 1], [5, 1, 0, 8], [5, 1, 0, 8, 2, 3]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["settle.looks=[5,3]"], "settle: looks must be rising numbers of seeds such as [3, 5, 10], found [5, 3]"),
        (["settle.looks=[1,3]"], "settle.looks.0 = 1: input should be greater than or equal to 2"),
        (["settle.looks=[]"], "settle.looks = []: list should have at least 1 item"),
        (["grid.conditions=[mixed]", "grid.controls=[]"], "grid.conditions = ['mixed'] leaves nothing to compare"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(settings: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        plan_looks(settings, CONF)
    assert message in str(caught.value)


def test_a_plan_may_not_change_once_a_look_was_taken_but_another_study_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "settle.json"
    plan = plan_json(plan_looks(["report.margin=0.3"], CONF))
    check_plan(plan, path)  # none was taken
    write_json(path, {"plan": plan})
    check_plan(plan, path)
    for key, value, words in (
        ("margin", 2.0, "report.margin was 0.3, not 2.0"),
        ("looks", [3, 40], "settle.looks was [3, 5, 10, 20, 40], not [3, 40]"),
    ):
        with pytest.raises(UserError, match="were planned otherwise") as caught:
            check_plan({**plan, key: value}, path)
        assert words in str(caught.value)
    other = plan_json(plan_looks(["train.max_steps=7", "report.margin=2"], CONF))
    assert other["study"] != plan["study"]
    check_plan(other, path)
    path.write_text("[]")
    with pytest.raises(UserError, match=r"settle\.json"):
        check_plan(plan, path)
