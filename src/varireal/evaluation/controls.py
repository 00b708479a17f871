"""What the controls show: which known harm a study sees, whether it finds something where nothing is, what follows.

A study that never saw a difference proves no absence of one ("assay sensitivity" in guideline E10 of the International
Council for Harmonisation). So every training source has to see a known harm, and to find nothing between two draws that
differ by nothing but the draw; else none of its comparisons is called equivalent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from varireal.evaluation.comparisons import ALPHA, Comparison, Verdict, holm
from varireal.evaluation.predictions import REAL, ZERO_SHOT
from varireal.evaluation.statistics import CrossedMean


def is_found(verdict: Verdict) -> bool:
    """Tell whether a difference is there, whatever its size: after Holm's correction, and never with one seed."""
    return verdict.difference.seeds > 1 and verdict.p_difference_holm <= ALPHA


@dataclasses.dataclass(frozen=True)
class Sight:
    """What the controls of one attribute and training source show."""

    attribute: str
    source: str
    harms: tuple[Verdict, ...]  # by dose, the smallest first; empty where none was made
    null: Verdict | None  # None where none was made

    @property
    def seen(self) -> Verdict | None:
        """Return the smallest harm that is found, where all larger ones are too; None if the largest is not."""
        smallest = None
        for verdict in reversed(self.harms):
            if not is_found(verdict) or verdict.difference.mean > 0:
                break
            smallest = verdict
        return smallest

    @property
    def finds_nothing(self) -> bool:
        """Tell whether nothing is found where nothing is."""
        return self.null is None or not is_found(self.null)

    @property
    def able(self) -> bool:
        """Tell whether these controls came out as they should."""
        return self.finds_nothing and (not self.harms or self.seen is not None)


def sights(verdicts: Sequence[Verdict]) -> list[Sight]:
    """Return what every attribute and training source with controls shows, in the order of the verdicts."""
    controls = [verdict for verdict in verdicts if verdict.comparison.family in ("harm", "null")]
    found = []
    for attribute, source in dict.fromkeys((v.comparison.first.attribute, v.comparison.first.source) for v in controls):
        own = [v for v in controls if (v.comparison.first.attribute, v.comparison.first.source) == (attribute, source)]
        nulls = [verdict for verdict in own if verdict.comparison.family == "null"]
        harms = tuple(verdict for verdict in own if verdict.comparison.family == "harm")
        found.append(Sight(attribute, source, harms, nulls[0] if nulls else None))
    return found


def baseline(verdicts: Sequence[Verdict]) -> Verdict | None:
    """Return the control that every study has, real photos alone against zero-shot; None where it was not compared."""
    pair = (REAL, ZERO_SHOT)
    return next((v for v in verdicts if (v.comparison.first, v.comparison.second) == pair), None)


def blind_sources(controls: Sequence[Comparison], means: Sequence[CrossedMean], alpha: float) -> list[str]:
    """Return the training sources whose controls bear out no equivalence at a look that spends ``alpha``.

    The largest harm of a source has to be found, and nothing between its two draws, on every attribute with controls.

    Args:
        controls: those of the grid, smaller harms before larger ones.
        means: their differences.
    """
    p_values = holm([mean.p_value() for mean in means], [each.family for each in controls])
    found = [mean.seeds > 1 and p <= alpha for mean, p in zip(means, p_values)]
    able = {}  # by source, attribute and family; the last, which is the largest harm, counts
    for each, mean, there in zip(controls, means, found):
        place = (each.first.source, each.first.attribute, each.family)
        able[place] = (there and mean.mean <= 0) if each.family == "harm" else not there
    return sorted({source for (source, _, _), as_it_should in able.items() if not as_it_should})


def believed(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts, with no equivalence left that the controls do not bear out: it becomes *unproven*.

    A comparison needs all controls of its training source, and that of the baselines those of all sources. Differences
    stay as they are, and so do bounds: neither says that nothing is there.
    """
    blind = {sight.source for sight in sights(verdicts) if not sight.able}
    return [
        dataclasses.replace(verdict, outcome="unproven")
        if verdict.outcome == "equivalent" and blind and verdict.comparison.first.source in (*blind, REAL.source)
        else verdict
        for verdict in verdicts
    ]
