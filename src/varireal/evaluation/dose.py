"""Dose and response: how accuracy follows the share of infeasible images, and whether the line rises, falls or is flat.

The slope is that of the least-squares line through the answers of one model at every dose. It is taken photo by photo
and seed by seed: every photo is tested at every dose, and a seed has the same initial adapter at all of them, so slopes
are crossed values as differences of two conditions are, with the same interval and the same tests. With the doses 0 and
1 alone the slope is that difference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from varireal.evaluation.comparisons import ALPHA, Outcome, holm, outcome_of
from varireal.evaluation.planning import Size, larger_studies
from varireal.evaluation.statistics import CrossedMean, crossed_mean

if TYPE_CHECKING:
    import numpy as np


@dataclasses.dataclass(frozen=True)
class Trend:
    """The slope of accuracy on the dose: points of top-1 that a dose of 1 adds to a dose of 0."""

    slope: float
    interval: tuple[float, float]  # 95 %, photos and seeds
    photos: int
    seeds: int
    p_slope_holm: float  # of a slope of 0, corrected over all trends
    p_flat_holm: float  # of a slope beyond ±margin, corrected over all trends
    outcome: Outcome  # equivalent: flat within ±margin; different: it rises or falls
    needed: tuple[Size, ...]  # studies that would decide; of an undecided trend only, empty if none could


def slopes(right: Sequence[np.ndarray], doses: Sequence[float]) -> tuple[np.ndarray, float]:
    """Return the slope of every photo and seed in units of the steepest slope there can be, and that slope.

    Args:
        right: for every dose which photos were answered rightly, bool (photos, seeds).
        doses: in 0..1.

    Returns:
        Values (photos, seeds) in -1..1, and the factor that makes them changes of the share of right answers per dose
        of 1.

    Raises:
        ValueError: there are not two different doses, or not an array for each.
    """
    import numpy as np

    if len(set(doses)) < 2 or len(right) != len(doses):
        raise ValueError(f"a slope needs answers at two doses or more, found {len(right)} answers at {list(doses)}")
    centred = np.asarray(doses, dtype=np.float64) - np.mean(doses)
    weights = centred / (centred**2).sum()
    steepest = float(weights[weights > 0].sum())  # right wherever the weight is positive, wrong elsewhere
    values = sum(weight * answers for weight, answers in zip(weights, right))
    return np.asarray(values) / steepest, steepest


def trends(curves: Sequence[Mapping[float, np.ndarray]], margin: float) -> list[Trend]:
    """Return the trend of every curve, all of them one family for Holm's correction.

    Args:
        curves: by dose which photos were answered rightly, bool (photos, seeds), the same photos and seeds throughout.
        margin: points of top-1 between the doses 0 and 1 below which a slope does not matter.
    """
    scaled = [slopes([curve[dose] for dose in sorted(curve)], sorted(curve)) for curve in curves]
    means = [crossed_mean(values) for values, _ in scaled]
    margins = [margin / steepest for _, steepest in scaled]
    family = ["trend"] * len(curves)
    differ = holm([mean.p_value() for mean in means], family)
    flat = holm([mean.equivalence_p_value(own) for mean, own in zip(means, margins)], family)
    return [
        _trend(mean, steepest, own, p_slope, p_flat, ALPHA / len(curves))
        for mean, (_, steepest), own, p_slope, p_flat in zip(means, scaled, margins, differ, flat)
    ]


def _trend(mean: CrossedMean, steepest: float, margin: float, p_slope: float, p_flat: float, alpha: float) -> Trend:
    outcome = outcome_of(mean, p_slope, p_flat)
    low, high = mean.interval()
    plan = outcome == "undecided" and mean.seeds > 1
    return Trend(
        slope=steepest * mean.mean,
        interval=(steepest * low, steepest * high),
        photos=mean.photos,
        seeds=mean.seeds,
        p_slope_holm=p_slope,
        p_flat_holm=p_flat,
        outcome=outcome,
        needed=tuple(larger_studies(mean, margin, alpha)) if plan else (),
    )
