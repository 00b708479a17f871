"""What looks at a study found, as lines, as a table and as JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from varireal.evaluation.comparisons import ALPHA, Comparison
from varireal.evaluation.looks import Look, LookVerdict, Outlook
from varireal.reporting.words import at_most, counted, label, less_than, outcome_words, signed
from varireal.tables import Grid, Line, columns

MINUTE, HOUR = 60.0, 3600.0
ENDS = {
    "decided": "Every comparison is decided",
    "no seeds left": "The seeds that were allowed are used up",
    "no time left": "The next look would take longer than the hours that are left",
    "hopeless": "No look that is left is likely to decide more, whichever differences the intervals allow",
}
REMEDIES = {
    "no seeds left": "allow more (--max-seeds, settle.looks)",
    "no time left": "the same command goes on where it was",
    "hopeless": "take more test photos or a wider margin (report.margin)",
}


@dataclasses.dataclass(frozen=True)
class TakenLook:
    """A look that was taken, with the experiment that it looked at."""

    number: int
    seeds: int
    level: float
    experiment: str
    rev: str  # of git
    found: Look
    blind: tuple[str, ...] = ()  # training sources whose controls did not come out as they should


@dataclasses.dataclass(frozen=True)
class Settled:
    """What all looks so far found."""

    plan: dict[str, Any]  # what must not change from look to look
    margin: float
    state: str  # "going on", or a key of ENDS
    compared: tuple[Comparison, ...]
    looks: tuple[TakenLook, ...]
    planned: int  # looks

    @property
    def now(self) -> Look:
        """Return the newest look."""
        return self.looks[-1].found


def look_lines(settled: Settled) -> list[str]:
    """Return what the newest look found, and what it decided."""
    taken, total = settled.looks[-1], len(settled.compared)
    look = f"look {taken.number} of {settled.planned}, at {100 * taken.level:.2g} %"
    lines = [
        f"After {counted(taken.seeds, 'seed')} ({look}): {total - len(taken.found.undecided)} of {total} comparisons "
        f"decided; feasibility matters by {less_than(taken.found.bound)} in all of them (95 %)"
    ]
    if taken.blind:
        lines.append(
            f"  Controls of {' and '.join(taken.blind)}: a known harm is not found, or something is where nothing is; "
            f"no new equivalence is claimed there at this look"
        )
    for comparison, verdict in zip(settled.compared, taken.found.verdicts):
        if verdict.look == taken.number:
            lines.append(f"  {_place(comparison)}: {_versus(comparison)} is {_claim(verdict, settled.margin)}")
    return lines


def next_line(settled: Settled, seeds: int, models: int, seconds: float | None, ahead: Outlook) -> str:
    """Return what the next look costs and what it would bring."""
    cost = "of unknown length, as none was clocked yet" if seconds is None else f"about {_time(seconds)}"
    models_words, left = counted(models, "more fine-tuning"), len(settled.now.undecided)
    return (
        f"Next, {seeds} seeds: {models_words} and their tests, {cost}. With differences and noise as found it would "
        f"decide {ahead.likely} of the {left} left and bound all by {at_most(ahead.bound)} points"
    )


def end_line(settled: Settled) -> str:
    """Return why there are no more looks, how far they came, and what to do."""
    last, total = settled.looks[-1], len(settled.compared)
    left = len(settled.now.undecided)
    end = f"{ENDS[settled.state]}: {total - left} of {total} decided after {counted(last.seeds, 'seed')}"
    remedy = f"; for the rest {REMEDIES[settled.state]}" if left else ""
    return f"{end}{remedy}. `dvc exp apply {last.experiment}` brings the last look's study here"


def settled_grid(settled: Settled) -> Grid:
    """Return the comparisons as a table."""
    lines = []
    for comparison, verdict in zip(settled.compared, settled.now.verdicts):
        cells = (
            comparison.first.attribute,
            comparison.first.source,
            _versus(comparison),
            signed(verdict.difference.mean),
            f"{signed(verdict.interval[0])} to {signed(verdict.interval[1])}",
            at_most(verdict.bound),
            _verdict(settled, verdict),
        )
        lines.append(Line(cells, verdict.outcome, section=comparison.first.attribute))
    last = settled.looks[-1]
    title = (
        f"Does feasibility matter? Differences of top-1 in points over {counted(last.seeds, 'seed')}; intervals hold "
        "at all looks (95 %), verdicts and bounds for all comparisons at all looks (95 %)"
    )
    heads = (
        *columns("attribute", "training source", "comparison", wrap="never"),
        *columns("difference", "interval", "bound", kind="number", wrap="never"),
        *columns("verdict", kind="words", min_width=24),
    )
    return Grid(title, heads, tuple(lines))


def settled_json(settled: Settled) -> dict[str, Any]:
    """Return everything that the looks found as JSON values, in points; comparisons by attribute and source."""
    compared: dict[str, Any] = {}
    for comparison, verdict in zip(settled.compared, settled.now.verdicts):
        branch = compared.setdefault(comparison.first.attribute, {}).setdefault(comparison.first.source, {})
        branch[f"{comparison.first.condition}_minus_{comparison.second.condition}"] = {
            "outcome": verdict.outcome,
            "decided_after_seeds": None if verdict.look is None else settled.looks[verdict.look - 1].seeds,
            "points": _round(verdict.difference.mean),
            "low": _round(verdict.interval[0]),
            "high": _round(verdict.interval[1]),
            "bound": _rounded_up(verdict.bound),
            "p_difference_holm": _round(verdict.p_difference),
            "p_equivalence_holm": _round(verdict.p_equivalence),
        }
    looks = [
        {
            "seeds": look.seeds,
            "level": round(look.level, 6),
            "experiment": look.experiment,
            "rev": look.rev,
            "decided": len(settled.compared) - len(look.found.undecided),
            "controls_failed": list(look.blind),
            "bound": _rounded_up(look.found.bound),
        }
        for look in settled.looks
    ]
    return {
        "plan": settled.plan,
        "alpha": ALPHA,
        "state": settled.state,
        "photos": settled.now.verdicts[0].difference.photos,
        "seeds": settled.looks[-1].seeds,
        "decided": looks[-1]["decided"],
        "undecided": len(settled.now.undecided),
        "bound": looks[-1]["bound"],
        "looks": looks,
        "comparisons": compared,
    }


def _verdict(settled: Settled, verdict: LookVerdict) -> str:
    if verdict.look is None:
        return outcome_words(verdict.outcome)
    return f"{_outcome(verdict, settled.margin)} (after {counted(settled.looks[verdict.look - 1].seeds, 'seed')})"


def _outcome(verdict: LookVerdict, margin: float) -> str:
    return f"equivalent within ±{margin:g}" if verdict.outcome == "equivalent" else verdict.outcome


def _claim(verdict: LookVerdict, margin: float) -> str:
    low, high = verdict.interval
    return f"{_outcome(verdict, margin)}, {signed(verdict.difference.mean)} points ({signed(low)} to {signed(high)})"


def _place(comparison: Comparison) -> str:
    return f"{comparison.first.attribute}, {comparison.first.source}"


def _versus(comparison: Comparison) -> str:
    return f"{label(comparison.first)} − {label(comparison.second)}"


def _time(seconds: float) -> str:
    if seconds < 2 * MINUTE:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"


def _round(value: float) -> float:
    return round(value, 4) + 0.0  # no negative zero


def _rounded_up(points: float) -> float:
    """Return points so that what lies below them stays below."""
    return math.ceil(round(points * 1e4, 6)) / 1e4
