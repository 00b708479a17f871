"""Cohen's kappa of ratings, against numbers worked out by hand and scikit-learn's."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sklearn.metrics import cohen_kappa_score

from varireal.errors import UserError
from varireal.rating.agreement import against_intention, agreement_grids, between_raters, kappa, summarize
from varireal.rating.edits import RatedEdit
from varireal.rating.store import ANSWERS, Answer, Rating
from varireal.tables import rich_table


def items(feasibility: str, count: int, attribute: str = "color") -> list[RatedEdit]:
    return [RatedEdit(attribute, feasibility, f"x/{number:02}#0", "a" * 64) for number in range(count)]


def ratings(rows: list[tuple[str, Answer, int]], attribute: str = "color") -> list[Rating]:
    """``(feasibility, answer, how many)``, each about an edit of its own."""
    left = {feasibility: iter(items(feasibility, 60, attribute)) for feasibility in ("feasible", "infeasible")}
    return [Rating(next(left[meant]), answer) for meant, answer, count in rows for _ in range(count)]


# 50 judged: 20 + 15 agree, 5 + 10 do not; chance agreement .5 * .6 + .5 * .4 = .5; kappa (.7 - .5) / .5
ANNA = ratings([("feasible", "possible", 20), ("feasible", "impossible", 5), ("feasible", "broken", 4),
                ("infeasible", "possible", 10), ("infeasible", "impossible", 15),
                ("infeasible", "broken", 6)])  # fmt: skip


def pairs(own: list[Rating]) -> list[tuple[RatedEdit, Answer]]:
    return [(rating.edit, rating.answer) for rating in own]


def test_agreement_with_the_intention_by_hand() -> None:
    assert against_intention(pairs(ANNA)) == {
        "rated": 60, "broken_share": 0.1667, "agreement": 0.7, "kappa": 0.4,
        "confusion": {"feasible": {"possible": 20, "impossible": 5, "broken": 4},
                      "infeasible": {"possible": 10, "impossible": 15, "broken": 6}},
    }  # fmt: skip


def test_kappa_at_its_ends_and_where_it_is_not_defined() -> None:
    assert kappa(["possible", "impossible"], ["possible", "impossible"]) == 1.0
    assert kappa(["possible", "impossible"], ["impossible", "possible"]) == -1.0
    assert kappa(["possible", "impossible"], ["possible", "possible"]) == 0.0
    assert kappa([], []) is None and kappa(["possible"], ["possible"]) is None
    broken = against_intention([(item, "broken") for item in items("feasible", 3)])
    assert (broken["broken_share"], broken["agreement"], broken["kappa"]) == (1.0, None, None)


@given(st.lists(st.tuples(st.sampled_from(ANSWERS), st.sampled_from(ANSWERS)), min_size=2).filter(
    lambda rows: len({answer for row in rows for answer in row}) > 1))  # fmt: skip
def test_kappa_between_raters_is_scikit_learns(rows: list[tuple[Answer, Answer]]) -> None:
    own = items("feasible", len(rows))
    found = between_raters(
        {item: row[0] for item, row in zip(own, rows)}, {item: row[1] for item, row in zip(own[::-1], rows[::-1])}
    )
    assert found["kappa"] == pytest.approx(cohen_kappa_score(*zip(*rows)), abs=5.1e-5)
    assert found["agreement"] == pytest.approx(sum(a == b for a, b in rows) / len(rows), abs=5.1e-5)


def test_raters_are_compared_on_what_both_rated() -> None:
    first, second, third = items("feasible", 3)
    found = between_raters({first: "possible", second: "broken"}, {second: "broken", first: "broken", third: "broken"})
    assert found == {"shared": 2, "agreement": 0.5, "kappa": 0.0}
    assert between_raters({first: "possible"}, {second: "possible"}) == {"shared": 0, "agreement": None, "kappa": None}


def test_summary_is_by_attribute_and_takes_the_last_answer_about_pictures_that_are_there() -> None:
    texture = ratings([("infeasible", "impossible", 3)], "texture")
    gone = Rating(RatedEdit("color", "feasible", "x/00#0", "f" * 64), "broken")  # the same edit, made anew
    by_rater = {"ben": [*texture, gone], "anna": [Rating(ANNA[0].edit, "broken"), *ANNA]}
    found = summarize(by_rater, [rating.edit for rating in (*ANNA, *texture)])
    assert (found["raters"], found["ratings"], found["left_out"]) == (["anna", "ben"], 63, 1)
    assert found["attributes"]["color"]["raters"] == {"anna": against_intention(pairs(ANNA))}
    assert found["attributes"]["texture"]["raters"].keys() == {"ben"}
    together = found["all"]["together"]
    assert together["rated"] == 63 and together["agreement"] == round(38 / 53, 4)
    assert together["confusion"]["infeasible"]["impossible"] == 18
    assert found["all"]["between"] == [{"raters": ["anna", "ben"], "shared": 0, "agreement": None, "kappa": None}]


def test_ratings_of_other_pictures_only_are_an_error() -> None:
    with pytest.raises(UserError, match="none of 60 ratings is about an edit"):
        summarize({"anna": ANNA}, items("feasible", 60, "background"))


def test_tables_show_every_rater_and_what_is_not_defined() -> None:
    found = summarize({"anna": ANNA, "ben": ANNA[:20]}, [rating.edit for rating in ANNA])
    console = Console(file=io.StringIO(), width=130)
    for grid in agreement_grids(found):
        console.print(rich_table(grid))
    text = " ".join(console.file.getvalue().split())
    assert "│ anna │ 60 │ 17 % │ 20 / 5 │ 10 / 15 │ 70 % │ 0.40 │" in text
    assert "anna and ben │ 20 │ 100 % │ not defined" in text and "all raters" in text
    assert len(agreement_grids(summarize({"anna": ANNA}, [rating.edit for rating in ANNA]))) == 1
