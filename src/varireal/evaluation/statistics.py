"""Means over test photos and seeds: their error, tests of difference and of equivalence, and the study's size.

Values are crossed: every model (a seed) answers every photo. Model of the value of photo i and seed s:
``mean + photo_i + seed_s + rest_is``, photos and seeds drawn at random. Values lie in -1..1 (a difference of two
answers, each right or wrong) or 0..1 (an answer); all results are points, that is 100 times as large.

The interval. A bootstrap over three seeds knows of three values only and is too narrow: its variance is a third too
small and its tails are those of many seeds. So the interval is made from the mean squares of the two-way analysis of
variance. The variance of the mean has two parts that are estimated independently of each other: A of the photos, which
thousands of photos tell well, and S of the seeds with the rest, of which the seeds' m - 1 degrees of freedom are all
that is known. They are joined as Cochran and Cox ("Experimental Designs", 1950) join the variances of two samples that
differ: half the width is ``(z·A + t·S) / sqrt(A + S)`` with the quantiles z and t of Student's t for n - 1 and m - 1
degrees of freedom. Where one part rules this is that part's own exact interval; between, it covers a little too
often, up to 97 % with three seeds. The photos' mean square P holds the rest too, so A is P without it; with P in its
place the rest would count twice, and intervals would cover up to 98 %. benchmarks/verdicts.py simulates what is
covered.

Limits: seeds are taken as normal, which m values cannot confirm; with two seeds intervals cover 94 to 98 % and
are so wide that they hardly ever decide; with one nothing can be said about other seeds at all.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

POINTS = 100.0
SMALLEST_P = 1e-12  # below it the tails of any of these approximations mean nothing
MOST_PHOTOS, MOST_SEEDS = 10_000_000, 1_000  # no study is planned larger


@dataclasses.dataclass(frozen=True)
class CrossedMean:
    """A mean over photos and seeds in points, with the parts of its variance in squared points.

    ``photo``, ``seed`` and ``rest`` are the mean squares divided by ``photos * seeds``; the variance of the mean is
    ``photo + seed - rest``. With one seed, ``seed`` and ``rest`` are 0: only the photos' part is known. ``steadiness``
    (0..1) is the photos' mean square over their mean size: 1 where models that differ on a photo do so with every seed.
    """

    mean: float
    photos: int
    seeds: int
    photo: float
    seed: float
    rest: float
    steadiness: float = 1.0

    @property
    def standard_error(self) -> float:
        """Return the standard deviation of the mean; a negative estimate of the seeds' part counts as 0."""
        return math.sqrt(self.photo + max(0.0, self.seed - self.rest))

    def half_width(self, tail: float) -> float:
        """Return half the width of the interval that misses the true mean with probability ``tail``, both sides."""
        from scipy.special import stdtrit

        z = -float(stdtrit(self.photos - 1, tail / 2))
        if self.seeds == 1:
            return z * math.sqrt(self.photo)
        t = -float(stdtrit(self.seeds - 1, tail / 2))
        alone = max(0.0, self.photo - self.rest)
        variance = alone + self.seed
        return (z * alone + t * self.seed) / math.sqrt(variance) if variance else 0.0

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the confidence interval of the mean."""
        width = self.half_width(1 - confidence)
        return self.mean - width, self.mean + width

    def p_value(self, null: float = 0.0) -> float:
        """Return the two-sided p-value of the hypothesis that the true mean is ``null``: where the interval ends."""
        from scipy.optimize import brentq

        distance = abs(self.mean - null)
        if distance == 0:
            return 1.0
        if self.half_width(SMALLEST_P) <= distance:
            return SMALLEST_P
        root = brentq(lambda tail: self.half_width(tail) - distance, SMALLEST_P, 1.0, xtol=1e-14)
        return float(root)  # pyright: ignore[reportArgumentType]  # a pair is returned only with full_output

    def equivalence_p_value(self, margin: float) -> float:
        """Return the p-value of two one-sided tests (Schuirmann 1987) against a true mean beyond ±margin points.

        The variance is the one at the margin, where the estimate is smaller (see :meth:`at_margin`). The p-value is
        never below ``(1 - margin)^photos``: were the models to differ on just that share of all photos, always for the
        same side, so many test photos would show no difference at all with that probability.
        """
        one_sided = self.at_margin(margin).p_value(math.copysign(margin, self.mean)) / 2
        if abs(self.mean) >= margin:
            return 1 - one_sided
        return max(one_sided, (1 - margin / POINTS) ** self.photos)

    def at_margin(self, margin: float) -> CrossedMean:
        """Return the same with the least photos' part that a true mean of ±margin allows.

        A mean of M takes a mean size of M, so a mean square of ``steadiness * M``. Few differing photos by chance give
        both a small mean and a small variance; without this bound they would pass for equivalence too often.
        """
        share = margin / POINTS
        least = POINTS**2 * (self.steadiness * share - share**2) / self.photos
        return dataclasses.replace(self, photo=max(self.photo, least))

    def planned(self, photos: int, seeds: int) -> CrossedMean:
        """Return what a study of another size would be expected to find, from this one's components of variance."""
        rest = self.rest * self.photos * self.seeds
        photo = max(0.0, self.photo * self.photos - self.rest * self.photos) + rest / seeds
        seed = max(0.0, self.seed - self.rest) * self.seeds + rest / photos
        return CrossedMean(
            self.mean,
            photos,
            seeds,
            photo / photos,
            seed / seeds if seeds > 1 else 0.0,
            rest / (photos * seeds),
            self.steadiness,
        )


def crossed_mean(values: np.ndarray) -> CrossedMean:
    """Return the mean of values (photos, seeds) in -1..1 and the parts of its variance.

    The photos' part counts one photo for either side more than there are, each by half (Agresti and Min 2005), so that
    models that agree on all photos seen are not taken to agree on every photo. By so much at least it exceeds the rest,
    which it holds by its nature: seeds whose means are alike by chance would else leave no error at all.

    Raises:
        ValueError: there are fewer than two photos, or no seed.
    """
    import numpy as np

    photos, seeds = values.shape
    if photos < 2 or seeds < 1:
        raise ValueError(f"two photos and one seed are the least to estimate from, not {photos} and {seeds}")
    values = POINTS * values.astype(np.float64)
    mean, by_photo, by_seed = values.mean(), values.mean(axis=1), values.mean(axis=0)
    one_more = POINTS**2 / (photos + 1) / photos
    photo = ((by_photo - mean) ** 2).sum() / (photos + 1) / photos + one_more
    seed = rest = 0.0
    if seeds > 1:
        seed = ((by_seed - mean) ** 2).sum() / (seeds - 1) / seeds
        residuals = values - by_photo[:, None] - by_seed + mean
        rest = (residuals**2).sum() / ((photos - 1) * (seeds - 1)) / (photos * seeds)
        photo = max(photo, rest + one_more)
    steadiness = ((by_photo**2).sum() + POINTS**2) / (POINTS * np.abs(by_photo).sum() + POINTS**2)
    return CrossedMean(float(mean), photos, seeds, float(photo), float(seed), float(rest), float(steadiness))


def bootstrap_means(values: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return the means, in points, of ``draws`` samples that draw photos and seeds anew, independently of each other.

    This is the crossed ("pigeonhole") bootstrap (Owen 2007). Photos with the same values over all seeds are alike to
    it, so it draws how often each pattern of values occurs: the same distribution as drawing photo by photo, and fast.

    Args:
        values: (photos, seeds) in -1..1.
    """
    import numpy as np

    photos, seeds = values.shape
    patterns, counts = np.unique(values.astype(np.float64), axis=0, return_counts=True)
    by_seed = rng.multinomial(photos, counts / photos, size=draws) @ patterns / photos
    weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds
    return POINTS * (by_seed * weights).sum(axis=1)


def mcnemar(values: np.ndarray) -> tuple[list[float], float]:
    """Return the exact McNemar p-value of every seed, and one for all seeds together.

    Args:
        values: differences of two answers, (photos, seeds), each -1, 0 or 1.

    The seeds share their photos, so neither their counts nor their p-values may be pooled as if independent. The
    middle one of K p-values, the k-th smallest, times K / k is a valid p-value whatever their dependence (Rüger 1978).
    It speaks of these very models, whose seeds differ even where conditions do not: no verdict rests on it.
    """
    from scipy.stats import binomtest

    won, lost = (values > 0).sum(axis=0), (values < 0).sum(axis=0)
    each = [float(binomtest(int(w), int(w + n)).pvalue) if w + n else 1.0 for w, n in zip(won, lost)]
    middle = (len(each) + 1) // 2
    return each, min(1.0, sorted(each)[middle - 1] * len(each) / middle)


@dataclasses.dataclass(frozen=True)
class Size:
    """Numbers of test photos and of seeds of a study."""

    photos: int
    seeds: int


def larger_studies(mean: CrossedMean, margin: float, alpha: float, power: float = 0.8) -> list[Size]:
    """Return the smallest larger studies that would come to a verdict, were the true mean the one found here.

    A verdict is a difference or equivalence within ±margin at level ``alpha``, reached with probability ``power``.
    First choice: more photos with the same seeds, and more seeds with the same photos, whichever of the two can do it.
    If neither can (the other's part of the variance stays), the first study with doubled, redoubled... seeds that some
    number of photos can bring to a verdict. Empty when none below MOST_PHOTOS and MOST_SEEDS can.

    Raises:
        ValueError: there is one seed only, whose spread is unknown.
    """
    if mean.seeds < 2:
        raise ValueError("a study with one seed holds no estimate of the seeds' spread to plan with")

    def photos_with(seeds: int) -> int | None:
        sizes = range(mean.photos + 1, MOST_PHOTOS + 1)
        k = bisect.bisect_left(sizes, True, key=lambda n: _decides(mean.planned(n, seeds), margin, alpha, power))
        return sizes[k] if k < len(sizes) else None

    more_seeds = range(mean.seeds + 1, MOST_SEEDS + 1)
    k = bisect.bisect_left(more_seeds, True, key=lambda m: _decides(mean.planned(mean.photos, m), margin, alpha, power))
    photos = photos_with(mean.seeds)
    sizes = [] if photos is None else [Size(photos, mean.seeds)]
    sizes += [Size(mean.photos, more_seeds[k])] if k < len(more_seeds) else []
    seeds = 2 * mean.seeds
    while not sizes and seeds <= MOST_SEEDS:
        photos = photos_with(seeds)
        sizes = [] if photos is None else [Size(photos, seeds)]
        seeds *= 2
    return sizes


def _decides(plan: CrossedMean, margin: float, alpha: float, power: float) -> bool:
    from scipy.special import ndtri

    error, size = plan.standard_error, abs(plan.mean)
    if size - plan.half_width(alpha) >= ndtri(power) * error:
        return True
    inside = margin - size - plan.at_margin(margin).half_width(2 * alpha) >= ndtri((1 + power) / 2) * error
    return bool(inside and (1 - margin / POINTS) ** plan.photos <= alpha)


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean and spread of one figure over independent runs, in the figure's own unit."""

    mean: float
    std: float | None  # sample standard deviation (divided by n - 1); None for a single run
    half_width: float | None  # of the confidence interval of the mean; None for a single run
    minimum: float
    maximum: float
    count: int


def spread(values: Sequence[float], confidence: float = 0.95) -> Spread:
    """Return the spread of the values; the interval is Student's, ``t * std / sqrt(n)`` with n - 1 degrees of freedom.

    It speaks of the training's randomness on this test split only, not of other test photos.

    Raises:
        ValueError: there is no value, or the confidence is not inside (0, 1).
    """
    if not values:
        raise ValueError("a spread needs one value at least")
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence must lie inside (0, 1), not {confidence}")
    deviation = half_width = None
    if len(values) > 1:
        from scipy.stats import t

        deviation = stdev(values)
        half_width = float(t.ppf((1 + confidence) / 2, len(values) - 1)) * deviation / math.sqrt(len(values))
    return Spread(fmean(values), deviation, half_width, min(values), max(values), len(values))
