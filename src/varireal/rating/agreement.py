"""How far ratings agree with the feasibility that was asked for, and raters with each other: Cohen's kappa."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from varireal.base.manifest import FEASIBILITIES
from varireal.config import Params
from varireal.errors import UserError
from varireal.rating.edits import RatedEdit, read_edits
from varireal.rating.store import ANSWERS, Answer, Rating, all_raters, latest
from varireal.tables import Grid, Line, columns

MEANT: dict[str, Answer] = {"feasible": "possible", "infeasible": "impossible"}  # what a rater who agrees answers
TOGETHER = "all attributes"
INTENTION = ("rated", "broken", "feasible: could / could not", "infeasible: could / could not", "agree", "kappa")


def kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Return Cohen's kappa of two lists of answers about the same things (1: always agree, 0: as by chance).

    It is None where there is nothing to compare, or all answers are one and the same.
    """
    from sklearn.metrics import cohen_kappa_score

    if not first:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the division by zero that gives the undefined value
        value = float(cohen_kappa_score(first, second))
    return None if math.isnan(value) else round(value, 4)


def against_intention(ratings: Iterable[tuple[RatedEdit, Answer]]) -> dict[str, Any]:
    """Return how ratings agree with what the edits were meant to be.

    Kappa and agreement (0..1) are over the ratings that are not "broken"; ``broken_share`` (0..1) is of all.
    """
    confusion = {meant: dict.fromkeys(ANSWERS, 0) for meant in FEASIBILITIES}
    meant, answered = [], []
    for edit, answer in ratings:
        confusion[edit.feasibility][answer] += 1
        if answer != "broken":
            meant.append(MEANT[edit.feasibility])
            answered.append(answer)
    rated = sum(sum(row.values()) for row in confusion.values())
    return {
        "rated": rated,
        "broken_share": _share(rated - len(answered), rated),
        "agreement": _share(sum(a == b for a, b in zip(meant, answered)), len(answered)),
        "kappa": kappa(meant, answered),
        "confusion": confusion,
    }


def between_raters(first: Mapping[RatedEdit, Answer], second: Mapping[RatedEdit, Answer]) -> dict[str, Any]:
    """Return the agreement of two raters on the edits that both rated; "broken" is an answer like the others."""
    shared = sorted(first.keys() & second.keys())
    return {
        "shared": len(shared),
        "agreement": _share(sum(first[edit] == second[edit] for edit in shared), len(shared)),
        "kappa": kappa([first[edit] for edit in shared], [second[edit] for edit in shared]),
    }


def summarize_ratings(params: Params) -> dict[str, Any]:
    """Return the agreement of all raters about the edits of the grid, the content of metrics/ratings.json.

    Raises:
        UserError: there is no rating of one of these edits, or a file is unreadable.
    """
    by_rater = all_raters()
    cells = read_edits(params.grid.attributes, params.grid.feasibilities, exhausted=True)
    return summarize(by_rater, (edit for edits in cells.values() for edit in edits))


def summarize(by_rater: Mapping[str, Sequence[Rating]], edits: Iterable[RatedEdit]) -> dict[str, Any]:
    """Return the agreement of all raters, per attribute and over all of them.

    A rater's last answer about an edit counts. Ratings of pictures that are not among ``edits`` (made anew since, or
    no longer in the grid) are left out and counted. ``together`` takes the ratings of all raters as one rater's.

    Raises:
        UserError: no rating is about one of the edits.
    """
    known = set(edits)
    given = {rater: latest(list(ratings)) for rater, ratings in sorted(by_rater.items())}
    kept: dict[str, dict[RatedEdit, Answer]] = {
        rater: {edit: answer for edit, answer in answers.items() if edit in known} for rater, answers in given.items()
    }
    counted = sum(map(len, kept.values()))
    left_out = sum(map(len, given.values())) - counted
    if not counted:
        raise UserError(
            f"none of {left_out} ratings is about an edit below data/edits as it is now; "
            "rate these with `varireal rate --rater NAME`"
        )
    attributes = sorted({edit.attribute for answers in kept.values() for edit in answers})
    return {
        "raters": list(kept),
        "ratings": counted,
        "left_out": left_out,
        "attributes": {attribute: _summary(_of(kept, attribute)) for attribute in attributes},
        "all": _summary(kept),
    }


def _of(kept: Mapping[str, Mapping[RatedEdit, Answer]], attribute: str) -> dict[str, dict[RatedEdit, Answer]]:
    return {
        rater: {edit: answer for edit, answer in answers.items() if edit.attribute == attribute}
        for rater, answers in kept.items()
    }


def _summary(kept: Mapping[str, Mapping[RatedEdit, Answer]]) -> dict[str, Any]:
    own = {rater: answers for rater, answers in kept.items() if answers}
    return {
        "raters": {rater: against_intention(answers.items()) for rater, answers in own.items()},
        "together": against_intention(itertools.chain.from_iterable(answers.items() for answers in own.values())),
        "between": [
            {"raters": [a, b], **between_raters(own[a], own[b])} for a, b in itertools.combinations(sorted(own), 2)
        ],
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def agreement_grids(summary: Mapping[str, Any]) -> list[Grid]:
    """Return the tables against what was asked for, and between raters if there are several."""
    intention = Grid(
        "Ratings against the feasibility asked for",
        (*columns("attribute", "rater"), *columns(*INTENTION, kind="number")),
        tuple(Line(row, section=row[0]) for row in intention_rows(summary)),
    )
    between = Grid(
        "Raters against each other",
        (*columns("attribute", "raters"), *columns("both rated", "agree", "kappa", kind="number")),
        tuple(map(Line, _between_rows(summary))),
    )
    return [intention, between] if len(summary["raters"]) > 1 else [intention]


def intention_rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield attribute, rater and the figures of ``INTENTION`` in words, for every attribute and for all together."""
    for attribute, section in _sections(summary).items():
        rows = dict(section["raters"])
        if len(rows) > 1:
            rows["all raters"] = section["together"]
        for rater, row in rows.items():
            counts = [
                f"{row['confusion'][meant]['possible']} / {row['confusion'][meant]['impossible']}" for meant in MEANT
            ]
            figures = (str(row["rated"]), _percent(row["broken_share"]), *counts, _percent(row["agreement"]))
            yield attribute, rater, *figures, _kappa_words(row["kappa"])


def _between_rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for attribute, section in _sections(summary).items():
        for pair in section["between"]:
            figures = (str(pair["shared"]), _percent(pair["agreement"]), _kappa_words(pair["kappa"]))
            yield attribute, " and ".join(pair["raters"]), *figures


def _sections(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {**summary["attributes"], TOGETHER: summary["all"]}


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _kappa_words(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"
