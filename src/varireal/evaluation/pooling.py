"""Differences of all comparisons, with what they tell of the seeds taken together.

Three seeds leave a comparison two degrees of freedom for the spread over seeds, and Student's quantile 4.3 in place of
2. The comparisons of one attribute and training source differ by the images alone: same photos, steps and seeds. So
their mean squares of the seeds are averaged, as an analysis of variance with repeated measures takes one error for all
pairs of treatments (Winer, "Statistical Principles in Experimental Design", 1971). Differences that share a model are
correlated by a half, and mean squares by its square, so that K comparisons have ``(m - 1) K^2 / sum of squared
correlations`` degrees of freedom for m seeds (Satterthwaite 1946): 4 for three pairs of three conditions and three
seeds. Attributes and sources are never pooled: colours may well scatter more than backgrounds do. Should one condition
scatter more than the others all the same, an average would be too small for it: a comparison's own mean square counts
where it is larger. That costs a tenth of what pooling gains where all are alike.

The study's own questions are pooled among themselves, so that controls change nothing there; controls have few
comparisons and borrow from the conditions that they are made of. benchmarks/verdicts.py simulates what is covered, also
where one condition scatters more than the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from varireal.evaluation.statistics import CrossedMean, crossed_mean

if TYPE_CHECKING:
    import numpy as np

    from varireal.evaluation.predictions import Model

CONTROLS = ("harm", "null")
SHARED = 0.5  # correlation of two differences that have one of their models in common


class Pair(Protocol):
    """A comparison of two models, as far as pooling looks at it."""

    @property
    def family(self) -> str:
        """Return the question that it belongs to."""
        ...

    @property
    def first(self) -> Model:
        """Return the model whose answers count for it."""
        ...

    @property
    def second(self) -> Model:
        """Return the model whose answers count against it."""
        ...


def differences(compared: Sequence[Pair], answers: dict[Model, np.ndarray]) -> list[CrossedMean]:
    """Return the difference of every comparison, its seeds' part pooled over all that are like it.

    Args:
        answers: of every model, which photos it got right: bool (photos, seeds); both of a comparison have the same.
    """
    import numpy as np

    pairs = [(answers[each.first], answers[each.second]) for each in compared]
    means = [crossed_mean(first.astype(np.int8) - second.astype(np.int8)) for first, second in pairs]
    pooled = []
    for one, mean in zip(compared, means):
        places = [k for k, other in enumerate(compared) if _lends(other, one)]
        pooled.append(pool(mean, [means[k] for k in places], _squared_correlations([pairs[k] for k in places])))
    return pooled


def pool(mean: CrossedMean, alike: Sequence[CrossedMean], squared_correlations: float) -> CrossedMean:
    """Return the mean with the seeds' part that all tell which are alike, itself among them, and no less than its own.

    Args:
        squared_correlations: sum over all ordered pairs of them, each with itself too.
    """
    if mean.seeds < 2 or len(alike) < 2:
        return mean
    seed = max(mean.seed, sum(each.seed for each in alike) / len(alike))
    return dataclasses.replace(mean, seed=seed, freedom=(mean.seeds - 1) * len(alike) ** 2 / squared_correlations)


def _lends(other: Pair, one: Pair) -> bool:
    """Tell whether a comparison is one of those whose spread over seeds tells of another's."""
    alike = other.family == one.family or (one.family in CONTROLS and other.family in (*CONTROLS, "feasibility"))
    return alike and _place(other) == _place(one)


def _place(each: Pair) -> tuple[str, str, str]:
    return each.first.source, each.first.attribute, each.first.experiment


def _squared_correlations(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the sum of squared correlations of differences; models with the same answers are the same model."""
    import numpy as np

    def common(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> int:
        return sum(any(np.array_equal(mine, its) for its in other) for mine in one)

    sizes = {0: 0.0, 1: SHARED**2, 2: 1.0}
    return sum(
        1.0 if j == k else sizes[common(one, other)] for j, one in enumerate(pairs) for k, other in enumerate(pairs)
    )
