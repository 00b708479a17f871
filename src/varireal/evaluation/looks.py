"""Verdicts of a study that is looked at several times while it gets more seeds: false claims stay at 5 % in all.

How many looks there are, and after how many seeds, is settled before the first. Each look spends a part of the 5 % in
proportion to the seeds that it adds: the spending function ``alpha * t`` of Lan and DeMets (Biometrika 70, 1983), with
the seeds' share t as its time. O'Brien and Fleming's would leave a look at 3 of 40 seeds less than one in a thousand
million, and Pocock's would spend most where the seeds' spread is known worst.

Why the parts need no joint distribution: what is wrong at some look is wrong at a first one. Until then no comparison
was decided wrongly, so those that are still tested hold all t hypotheses that are true, and the first error takes one
of them below the look's level / t (Holm 1979). By Bonferroni's inequality that has at most the look's probability, and
all looks together the sum of theirs, however much they have in common and whenever one stops. So a verdict stands once
it is reached, and the levels of later looks go to the others (Maurer and Bretz, Statistics in Biopharmaceutical
Research 5, 2013). The same goes for bounds (:func:`varireal.evaluation.comparisons.family_bounds` says why): those of
all looks hold with 95 %, so the smallest one so far is stated.

Equivalence is claimed only where the controls of its training source come out as they should at the same look, which
takes claims away and adds none; a later look, of another level, does not take back what was claimed.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Sequence

from varireal.evaluation.comparisons import ALPHA, Outcome, common_bound, family_bounds, holm
from varireal.evaluation.planning import decides
from varireal.evaluation.statistics import CrossedMean

LIKELY = 0.5  # a verdict is likely where a study of the planned size reaches it more often than not
OPEN: tuple[Outcome, ...] = ("undecided", "unproven")
FAMILY = "looks"  # the one family of comparisons that is looked at


def levels(seeds: Sequence[int], alpha: float = ALPHA) -> list[float]:
    """Return the part of ``alpha`` that each look spends, where looks are after so many seeds."""
    return [alpha * (now - before) / seeds[-1] for before, now in itertools.pairwise([0, *seeds])]


@dataclasses.dataclass(frozen=True)
class LookVerdict:
    """What is known of a comparison after a look. Differences are points of top-1."""

    outcome: Outcome
    look: int | None  # number of the look at which the outcome was first found; None: nothing is decided
    difference: CrossedMean  # at this look
    interval: tuple[float, float]  # holds with the look's level, so at all looks with 95 %
    bound: float  # the difference is smaller, either way
    p_difference: float  # corrected for those that were still open before this look; against the look's level
    p_equivalence: float


@dataclasses.dataclass(frozen=True)
class Look:
    """One look at all comparisons of a question."""

    level: float
    verdicts: tuple[LookVerdict, ...]
    bound: float  # all differences are smaller

    @property
    def undecided(self) -> list[LookVerdict]:
        """Return what is not decided yet, or what the controls do not bear out yet."""
        return [verdict for verdict in self.verdicts if verdict.outcome in OPEN]


class Looks:
    """Looks at the same comparisons, one after the other."""

    def __init__(self, margin: float) -> None:
        """Take the points of top-1 below which a difference does not matter."""
        self.margin = margin
        self.taken: list[Look] = []
        self._different: set[int] = set()  # places of comparisons of which a difference was shown
        self._equivalent: set[int] = set()
        self._claimed: set[int] = set()  # of those the ones that the controls bore out

    def take(self, means: Sequence[CrossedMean], level: float, unproven: Collection[int] = ()) -> Look:
        """Judge all comparisons with what is known by now, at this look's level.

        Args:
            unproven: places of comparisons whose equivalence the controls do not bear out at this look.

        Raises:
            ValueError: there is one seed only, whose spread is unknown.
        """
        if any(mean.seeds < 2 for mean in means):
            raise ValueError("a look needs two seeds, or it knows nothing of their spread")
        before = self.taken[-1].verdicts if self.taken else (None,) * len(means)
        different = _corrected([mean.p_value() for mean in means], self._different)
        equivalent = _corrected([mean.equivalence_p_value(self.margin) for mean in means], self._equivalent)
        for found, p_values in ((self._different, different), (self._equivalent, equivalent)):
            found |= {k for k, p in enumerate(p_values) if p <= level}
        self._claimed |= self._equivalent - set(unproven)
        outcomes: list[Outcome] = [self._outcome(k) for k in range(len(means))]
        bounds = [float(b) for b in family_bounds(means, outcomes, self.margin, level) if b is not None]
        common = common_bound(bounds, means, self.margin, level)
        assert common is not None  # there are two seeds
        number = len(self.taken) + 1
        look = Look(
            level,
            tuple(
                LookVerdict(
                    outcome=told,
                    look=_first(told, old, number),
                    difference=mean,
                    interval=mean.interval(1 - level),
                    bound=bound if old is None else min(bound, old.bound),
                    p_difference=p_different,
                    p_equivalence=p_equivalent,
                )
                for told, old, mean, bound, p_different, p_equivalent in zip(
                    _borne_out(outcomes, self._claimed), before, means, bounds, different, equivalent
                )
            ),
            min([common, *(old.bound for old in self.taken)]),
        )
        self.taken.append(look)
        return look

    def _outcome(self, place: int) -> Outcome:
        if place in self._equivalent:
            return "equivalent"
        return "different" if place in self._different else "undecided"


@dataclasses.dataclass(frozen=True)
class Outlook:
    """What another look would bring, were the differences and spreads those that were found."""

    likely: int  # comparisons, of those undecided, that it would decide more likely than not
    bound: float  # points, for all comparisons


def outlook(look: Look, seeds: int, level: float, margin: float) -> Outlook:
    """Return what a look after so many seeds would be likely to bring, planned from the components of variance."""
    undecided = look.undecided
    plans = [verdict.difference.planned(verdict.difference.photos, seeds) for verdict in undecided]
    likely = sum(decides(plan, margin, level / len(undecided), LIKELY) for plan in plans)
    everything = (verdict.difference.planned(verdict.difference.photos, seeds) for verdict in look.verdicts)
    return Outlook(likely, min(look.bound, max(plan.bound(level) for plan in everything)))


def is_hopeless(look: Look, later: Sequence[tuple[int, float]], margin: float) -> bool:
    """Return whether no later look is likely to decide anything more, whichever differences the intervals allow.

    Stopping for that adds no false claims, and seeds alone cannot help: the photos' part of the noise stays.

    Args:
        later: seeds and level of the looks that are left.
    """
    for verdict, (seeds, level) in itertools.product(look.undecided, later):
        low, high = verdict.interval
        for true in {low, high, min(max(0.0, low), high)}:
            assumed = dataclasses.replace(verdict.difference, mean=true)
            # nobody else may be left then, so that all of the level goes to this one
            if decides(assumed.planned(assumed.photos, seeds), margin, level, LIKELY):
                return False
    return True


def _corrected(p_values: Sequence[float], rejected: Collection[int]) -> list[float]:
    """Return Holm's p-values among the hypotheses that no earlier look rejected; 0 for those that one did."""
    places = [k for k in range(len(p_values)) if k not in rejected]
    corrected = [0.0] * len(p_values)
    for k, p in zip(places, holm([p_values[k] for k in places], [FAMILY] * len(places))):
        corrected[k] = p
    return corrected


def _borne_out(outcomes: Sequence[Outcome], claimed: Collection[int]) -> list[Outcome]:
    """Return the outcomes, with no equivalence left but those that the controls bore out."""
    return ["unproven" if each == "equivalent" and k not in claimed else each for k, each in enumerate(outcomes)]


def _first(outcome: Outcome, old: LookVerdict | None, number: int) -> int | None:
    """Return the look at which an outcome was first found."""
    if outcome in OPEN:
        return None
    return old.look if old is not None and old.outcome == outcome else number
