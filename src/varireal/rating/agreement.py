"""How far ratings agree with the feasibility that was asked for, and raters with each other: Cohen's kappa."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from varireal.base.manifest import FEASIBILITIES
from varireal.errors import UserError
from varireal.rating.edits import RatedEdit
from varireal.rating.store import ANSWERS, Answer, Rating, latest

if TYPE_CHECKING:
    from rich.table import Table

MEANT: dict[str, Answer] = {"feasible": "possible", "infeasible": "impossible"}  # what a rater who agrees answers
TOGETHER = "all attributes"
INTENTION = ("rated", "broken", "feasible: could / could not", "infeasible: could / could not", "agree", "kappa")


def kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Return Cohen's kappa of two lists of answers about the same things (1: always agree, 0: as by chance).

    None where it is not defined: there is nothing to compare, or all answers are one and the same.
    """
    from sklearn.metrics import cohen_kappa_score

    if not first:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the division by zero that gives the undefined value
        found = float(cohen_kappa_score(first, second))
    return None if math.isnan(found) else round(found, 4)


def against_intention(ratings: Iterable[tuple[RatedEdit, Answer]]) -> dict[str, Any]:
    """Return how ratings agree with what the edits were meant to be.

    Kappa and agreement (0..1) are over the ratings that are not "broken"; ``broken_share`` (0..1) is of all.
    """
    confusion = {meant: dict.fromkeys(ANSWERS, 0) for meant in FEASIBILITIES}
    meant, answered = [], []
    for item, answer in ratings:
        confusion[item.feasibility][answer] += 1
        if answer != "broken":
            meant.append(MEANT[item.feasibility])
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
        "agreement": _share(sum(first[item] == second[item] for item in shared), len(shared)),
        "kappa": kappa([first[item] for item in shared], [second[item] for item in shared]),
    }


def summarize(by_rater: Mapping[str, Sequence[Rating]], edits: Iterable[RatedEdit]) -> dict[str, Any]:
    """Return the agreement of all raters, per attribute and over all of them.

    A rater's last answer about an edit counts. Ratings of pictures that are not among ``edits`` (made anew since, or
    no longer in the grid) are left out and counted. ``together`` takes the ratings of all raters as one rater's.

    Raises:
        UserError: no rating is about one of the edits.
    """
    known = set(edits)
    given = {rater: latest(list(ratings)) for rater, ratings in sorted(by_rater.items())}
    kept = {rater: {item: a for item, a in answers.items() if item in known} for rater, answers in given.items()}
    counted = sum(map(len, kept.values()))
    left_out = sum(map(len, given.values())) - counted
    if not counted:
        raise UserError(
            f"none of {left_out} ratings is about an edit below data/edits as it is now; "
            "rate these with `varireal rate --rater NAME`"
        )
    attributes = sorted({item.attribute for answers in kept.values() for item in answers})
    return {
        "raters": list(kept),
        "ratings": counted,
        "left_out": left_out,
        "attributes": {attribute: _summary(_of(kept, {attribute})) for attribute in attributes},
        "all": _summary(kept),
    }


def _of(kept: Mapping[str, Mapping[RatedEdit, Answer]], attributes: set[str]) -> dict[str, dict[RatedEdit, Answer]]:
    return {
        rater: {item: answer for item, answer in answers.items() if item.attribute in attributes}
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


def tables(summary: Mapping[str, Any]) -> list[Table]:
    """Return the tables for the terminal: against what was asked for, and between raters if there are several."""
    sections = {**summary["attributes"], TOGETHER: summary["all"]}
    found = [_intention_table(summary)]
    return [*found, _between_table(sections)] if len(summary["raters"]) > 1 else found


def intention_rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield attribute, rater and the figures of ``INTENTION`` in words, for every attribute and for all together."""
    for attribute, section in {**summary["attributes"], TOGETHER: summary["all"]}.items():
        rows = dict(section["raters"])
        if len(rows) > 1:
            rows["all raters"] = section["together"]
        for rater, row in rows.items():
            counts = [
                f"{row['confusion'][meant]['possible']} / {row['confusion'][meant]['impossible']}" for meant in MEANT
            ]
            figures = (str(row["rated"]), _percent(row["broken_share"]), *counts, _percent(row["agreement"]))
            yield attribute, rater, *figures, _kappa_words(row["kappa"])


def _intention_table(summary: Mapping[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title="Ratings against the feasibility asked for", title_justify="left", title_style="bold")
    for name in ("attribute", "rater"):
        table.add_column(name)
    for name in INTENTION:
        table.add_column(name, justify="right")
    for _, rows in itertools.groupby(intention_rows(summary), key=lambda row: row[0]):
        for row in rows:
            table.add_row(*row)
        table.add_section()
    return table


def _between_table(sections: Mapping[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title="Raters against each other", title_justify="left", title_style="bold")
    for name in ("attribute", "raters"):
        table.add_column(name)
    for name in ("both rated", "agree", "kappa"):
        table.add_column(name, justify="right")
    for attribute, section in sections.items():
        for pair in section["between"]:
            cells = (str(pair["shared"]), _percent(pair["agreement"]), _kappa_words(pair["kappa"]))
            table.add_row(attribute, " and ".join(pair["raters"]), *cells)
    return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _kappa_words(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"
