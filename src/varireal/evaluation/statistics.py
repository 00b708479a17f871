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

A study's comparisons tell more of the seeds together than each alone: evaluation/pooling.py joins their mean squares,
and ``freedom`` counts what is known then.

Limits: seeds are taken as normal, which m values cannot confirm; with two seeds and a comparison alone intervals cover
94 to 98 % and are so wide that they hardly ever decide; with one nothing can be said about other seeds at all.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

POINTS = 100.0
SMALLEST_P = 1e-12  # below it the tails of any of these approximations mean nothing
POWER = 0.8  # the usual probability with which a study should find what it looks for
MARGINS = 2000  # of a search: from one to the next it is less than 1 %, or less than a photo


@dataclasses.dataclass(frozen=True)
class CrossedMean:
    """A mean over photos and seeds in points, with the parts of its variance in squared points.

    ``photo``, ``seed`` and ``rest`` are the mean squares divided by ``photos * seeds``; the variance of the mean is
    ``photo + seed - rest``. With one seed, ``seed`` and ``rest`` are 0: only the photos' part is known. ``steadiness``
    (0..1) is the photos' mean square over their mean size: 1 where models that differ on a photo do so with every seed.
    ``freedom`` is the number of degrees of freedom of ``seed``, where it is not its own ``seeds - 1``.
    """

    mean: float
    photos: int
    seeds: int
    photo: float
    seed: float
    rest: float
    steadiness: float = 1.0
    freedom: float | None = None

    @property
    def standard_error(self) -> float:
        """Return the standard deviation of the mean; a negative estimate of the seeds' part counts as 0."""
        return math.sqrt(self.photo + max(0.0, self.seed - self.rest))

    @property
    def seed_freedom(self) -> float:
        """Return the degrees of freedom of the seeds' part."""
        return self.seeds - 1 if self.freedom is None else self.freedom

    def half_width(self, tail: float) -> float:
        """Return half the width of the interval that misses the true mean with probability ``tail``, both sides."""
        from scipy.special import stdtrit

        z = -float(stdtrit(self.photos - 1, tail / 2))
        if self.seeds == 1:
            return z * math.sqrt(self.photo)
        return _joined(z, -float(stdtrit(self.seed_freedom, tail / 2)), max(0.0, self.photo - self.rest), self.seed)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the confidence interval of the mean; no mean lies beyond 100 points."""
        width = self.half_width(1 - confidence)
        return max(-POINTS, self.mean - width), min(POINTS, self.mean + width)

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
        return dataclasses.replace(self, photo=max(self.photo, self._least_photo(margin)))

    def bound(self, alpha: float) -> float:
        """Return the points below which the true mean lies, either side, with confidence ``1 - alpha``.

        It is the margin from which on two one-sided tests at level ``alpha`` show equivalence: above it
        :meth:`equivalence_p_value` stays below ``alpha``. So the mean lies outside with probability ``alpha`` at most.
        No mean is larger than 100 points: that is the bound where no margin passes.

        Raises:
            ValueError: there is one seed only, whose spread is unknown.
        """
        import numpy as np
        from scipy.optimize import brentq
        from scipy.special import stdtrit

        if self.seeds < 2:
            raise ValueError("a study with one seed holds no estimate of the seeds' spread, so it bounds nothing")
        z, t = (-float(stdtrit(known, alpha)) for known in (self.photos - 1, self.seed_freedom))

        def lacking(margin: Any) -> Any:  # a number or an array
            alone = np.maximum(0.0, np.maximum(self.photo, self._least_photo(margin)) - self.rest)
            return _joined(z, t, alone, self.seed) - (margin - abs(self.mean))

        least = max(abs(self.mean), POINTS * (1 - alpha ** (1 / self.photos)))  # see equivalence_p_value
        margins = np.geomspace(least, POINTS, MARGINS)
        failing = np.flatnonzero(lacking(margins) > 0)
        if not failing.size:
            return least
        last = failing[-1]
        if last == MARGINS - 1:
            return POINTS
        return float(brentq(lacking, margins[last], margins[last + 1], xtol=1e-12))  # pyright: ignore[reportArgumentType]

    def detectable(self, alpha: float, power: float = POWER) -> float:
        """Return the smallest true mean that such a study tells from 0 at level ``alpha`` with probability ``power``.

        It is the minimum detectable effect (Bloom 1995): as many standard errors as the noncentral t distribution's
        parameter must be for the power; those of photos and seeds are joined as the interval's quantiles are. At most
        100 points, which no study finds more than.

        Raises:
            ValueError: there is one seed only, whose spread is unknown.
        """
        from scipy.special import nctdtrinc, stdtrit

        if self.seeds < 2:
            raise ValueError("a study with one seed holds no estimate of the seeds' spread to find a power with")
        z, t = (
            float(nctdtrinc(known, 1 - power, -stdtrit(known, alpha / 2)))
            for known in (self.photos - 1, self.seed_freedom)
        )
        return min(POINTS, _joined(z, t, max(0.0, self.photo - self.rest), self.seed))

    def _least_photo(self, margin: Any) -> Any:
        """Return the least photos' part at a true mean of ±margin, a number or an array of them."""
        share = margin / POINTS
        return POINTS**2 * (self.steadiness * share - share**2) / self.photos

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
            None if self.freedom is None else self.freedom * (seeds - 1) / (self.seeds - 1),
        )


def _joined(z: float, t: float, photo: Any, seed: float) -> Any:
    """Return ``z`` standard errors of the photos and ``t`` of the seeds as one (Cochran and Cox); arrays too."""
    return (z * photo + t * seed) / (photo + seed + sys.float_info.min) ** 0.5


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
