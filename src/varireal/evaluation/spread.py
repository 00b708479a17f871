"""The spread of a figure over seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from statistics import fmean, stdev


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
