"""Are the verdicts to be trusted? Simulated studies with a known truth, and what the bootstrap costs.

A simulated model gets a photo right when a sum of normal parts is positive: how easy the photo is, how well it suits
the condition, how good the seed is, and the rest. So the true accuracy is a normal distribution's value, and two
conditions can be set exactly as many points apart as wanted. Photos and seeds are new in every study.

    python benchmarks/verdicts.py --studies 2000
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from scipy.special import ndtr

from varireal.base.files import json_bytes
from varireal.base.seeding import generator
from varireal.evaluation.statistics import POINTS, bootstrap_means, crossed_mean

EASE = 1.0  # standard deviation of the photos' ease, the unit of the others
MARGIN = 2.0  # points; for these sizes of studies ±0.3 can hardly ever be shown, so that false claims of it are rare
FAILURE_SHARE, FAILURE = 0.1, 0.4  # where seeds are not normal: the share of bad ones, and how much worse they are


@dataclasses.dataclass(frozen=True)
class Setting:
    """One kind of study. The spreads are standard deviations, relative to the photos' ease."""

    photos: int
    seeds: int
    seed_spread: float
    condition_spread: float = 0.3
    rest_spread: float = 0.5
    accuracy: float = 0.75
    failing_seeds: bool = False

    @property
    def name(self) -> str:
        """Return the setting in words."""
        extra = ", models nearly alike" if self.rest_spread < 0.1 else ", some seeds fail" if self.failing_seeds else ""
        return f"{self.photos} photos, {self.seeds} seeds, seed spread {self.seed_spread:g}{extra}"


SETTINGS = (
    *(Setting(*sizes) for sizes in itertools.product((600, 3000), (3, 5), (0.0, 0.05, 0.15))),
    *(Setting(n, m, 0.0, 0.03, 0.05, 0.95) for n, m in itertools.product((600, 3000), (3, 5))),
    *(Setting(3000, m, 0.05, failing_seeds=True) for m in (3, 5)),
)


def accuracy(setting: Setting, ease: float) -> float:
    """Return the true accuracy of a condition whose models have this mean ease."""
    spread = np.sqrt(EASE**2 + setting.condition_spread**2 + setting.seed_spread**2 + setting.rest_spread**2)
    if not setting.failing_seeds:
        return float(ndtr(ease / spread))
    return float((1 - FAILURE_SHARE) * ndtr(ease / spread) + FAILURE_SHARE * ndtr((ease - FAILURE) / spread))


def ease_of(setting: Setting, wanted: float) -> float:
    """Return the mean ease that gives a true accuracy."""
    from scipy.optimize import brentq

    return float(brentq(lambda ease: accuracy(setting, ease) - wanted, -10, 10, xtol=1e-12))


def studies(setting: Setting, points: float, count: int) -> Iterator[np.ndarray]:
    """Yield differences of answers, int8 (photos, seeds), of studies with a true difference of ``points``."""
    rng = generator("benchmark", *dataclasses.astuple(setting), points)
    means = [ease_of(setting, setting.accuracy + points / POINTS), ease_of(setting, setting.accuracy)]
    shape = (setting.photos, setting.seeds)
    for _ in range(count):
        ease = EASE * rng.standard_normal((setting.photos, 1))
        answers = []
        for mean in means:
            seeds = setting.seed_spread * rng.standard_normal((1, setting.seeds))
            if setting.failing_seeds:
                seeds -= FAILURE * (rng.random((1, setting.seeds)) < FAILURE_SHARE)
            suits = setting.condition_spread * rng.standard_normal((setting.photos, 1))
            latent = mean + ease + suits + seeds + setting.rest_spread * rng.standard_normal(shape)
            answers.append((latent > 0).astype(np.int8))
        yield answers[0] - answers[1]


def measure(setting: Setting, count: int, bootstraps: int) -> dict[str, float]:
    """Return rates in percent over ``count`` studies without a difference and as many with one of MARGIN points."""
    covered = dict.fromkeys((0.0, MARGIN), 0)
    by_bootstrap, equivalent, widths = 0, 0, []
    for points in covered:
        for k, values in enumerate(studies(setting, points, count)):
            found = crossed_mean(values)
            low, high = found.interval()
            covered[points] += low <= points <= high
            widths.append(high - low)
            equivalent += points == MARGIN and found.equivalence_p_value(MARGIN) <= 0.05
            if points and k < bootstraps:
                drawn = bootstrap_means(values, 1000, generator("benchmark bootstrap", k))
                by_bootstrap += np.quantile(drawn, 0.025) <= points <= np.quantile(drawn, 0.975)
    rates = {
        "coverage": sum(covered.values()) / (2 * count),
        "false_different": 1 - covered[0.0] / count,
        "false_equivalent": equivalent / count,
        "bootstrap_coverage": by_bootstrap / bootstraps,
    }
    return {name: POINTS * float(rate) for name, rate in rates.items()} | {"median_width": float(np.median(widths))}


def seconds_of_draws(photos: int = 8000, seeds: int = 5, draws: int = 10_000) -> float:
    """Return the processor time of the bootstrap of one comparison."""
    values = next(studies(Setting(photos, seeds, 0.05), MARGIN, 1))
    start = time.process_time()
    bootstrap_means(values, draws, generator("benchmark timing"))
    return time.process_time() - start


@click.command()
@click.option("--studies", "count", type=click.IntRange(min=10), default=2000, show_default=True)
@click.option("--bootstraps", type=click.IntRange(min=1), default=200, show_default=True, help="of these, per setting")
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures there too.")
def main(count: int, bootstraps: int, path: Path | None) -> None:
    """Print coverage and false verdicts of simulated studies, in percent, and the bootstrap's time."""
    error = POINTS * np.sqrt(0.95 * 0.05 / count)
    print(f"{count} studies without and {count} with a true difference of {MARGIN:g} points per setting; rates in %,")
    print(f"one standard error at 95 %: {error:.1f} (coverage {error / np.sqrt(2):.1f}); before Holm's correction")
    print(f"{'setting':<56}{'coverage':>9}{'false dif.':>11}{'false equ.':>11}{'bootstrap':>10}{'width':>7}")
    figures = {}
    for setting in SETTINGS:
        found = figures[setting.name] = measure(setting, count, min(bootstraps, count))
        rates = "{coverage:9.1f}{false_different:11.1f}{false_equivalent:11.1f}{bootstrap_coverage:10.1f}"
        print(f"{setting.name:<56}" + (rates + "{median_width:7.2f}").format(**found), flush=True)
    seconds = seconds_of_draws()
    print(f"10,000 draws of the bootstrap for 8,000 photos x 5 seeds: {seconds:.2f} s of a core")
    if path:
        path.write_bytes(json_bytes({"studies": count, "settings": figures, "seconds_10000_draws": seconds}))


if __name__ == "__main__":
    main()
