"""How large a study must be to come to a verdict, planned from what a smaller one found."""

from __future__ import annotations

import bisect
import dataclasses

from varireal.evaluation.statistics import POINTS, POWER, CrossedMean

MOST_TIMES = 20  # no study is planned with more times the photos or seeds: minutes become hours, a night three weeks


@dataclasses.dataclass(frozen=True)
class Size:
    """Numbers of test photos and of seeds of a study."""

    photos: int
    seeds: int


def larger_studies(mean: CrossedMean, margin: float, alpha: float, power: float = POWER) -> list[Size]:
    """Return the smallest larger studies that would come to a verdict, were the true mean the one found here.

    A verdict is a difference or equivalence within ±margin at level ``alpha``, reached with probability ``power``.
    First choice: more photos with the same seeds, and more seeds with the same photos, whichever of the two can do it.
    If neither can (the other's part of the variance stays), the first study with doubled, redoubled... seeds that some
    number of photos can bring to a verdict. Empty when none with up to MOST_TIMES as many of either can.

    Raises:
        ValueError: there is one seed only, whose spread is unknown.
    """
    if mean.seeds < 2:
        raise ValueError("a study with one seed holds no estimate of the seeds' spread to plan with")

    def photos_with(seeds: int) -> int | None:
        sizes = range(mean.photos + 1, MOST_TIMES * mean.photos + 1)
        k = bisect.bisect_left(sizes, True, key=lambda n: decides(mean.planned(n, seeds), margin, alpha, power))
        return sizes[k] if k < len(sizes) else None

    more_seeds = range(mean.seeds + 1, MOST_TIMES * mean.seeds + 1)
    k = bisect.bisect_left(more_seeds, True, key=lambda m: decides(mean.planned(mean.photos, m), margin, alpha, power))
    photos = photos_with(mean.seeds)
    sizes = [] if photos is None else [Size(photos, mean.seeds)]
    sizes += [Size(mean.photos, more_seeds[k])] if k < len(more_seeds) else []
    for times in (2, 4, 8, 16, MOST_TIMES):
        if not sizes and (photos := photos_with(times * mean.seeds)) is not None:
            sizes = [Size(photos, times * mean.seeds)]
    return sizes


def decides(plan: CrossedMean, margin: float, alpha: float, power: float) -> bool:
    """Return whether a study comes to a verdict with this probability, were the true mean the one it expects."""
    from scipy.special import ndtri

    error, size = plan.standard_error, abs(plan.mean)
    if size - plan.half_width(alpha) >= ndtri(power) * error:
        return True
    inside = margin - size - plan.at_margin(margin).half_width(2 * alpha) >= ndtri((1 + power) / 2) * error
    return bool(inside and (1 - margin / POINTS) ** plan.photos <= alpha)
