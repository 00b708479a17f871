"""Are the verdicts to be trusted? Simulated studies with a known truth, and what the bootstrap costs.

A simulated model gets a photo right when a sum of normal parts is positive: how easy the photo is, how well it suits
the condition, how good the seed is, and the rest. So the true accuracy is a normal distribution's value, and two
conditions can be set exactly as many points apart as wanted. Photos and seeds are new in every study.

Studies have three conditions that are compared with each other, as feasible, infeasible and mixed are, and pool what
their comparisons tell of the seeds. Bounds are looked at for all three at once.

    python benchmarks/verdicts.py --studies 2000
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
from scipy.special import ndtr

from varireal.base.files import json_bytes
from varireal.base.seeding import generator
from varireal.evaluation.comparisons import ALPHA, Comparison, common_bound, family_bounds, holm, outcome_of
from varireal.evaluation.pooling import differences
from varireal.evaluation.predictions import Model
from varireal.evaluation.statistics import POINTS, CrossedMean, bootstrap_means, crossed_mean

EASE = 1.0  # standard deviation of the photos' ease, the unit of the others
MARGIN = 2.0  # points; for these sizes of studies ±0.3 can hardly ever be shown, so that false claims of it are rare
FAMILIES = ((0.0, 0.0, 0.0), (MARGIN, 0.0, MARGIN / 2), (MARGIN, 0.0, MARGIN))  # how many points conditions are apart
PAIRS = tuple(itertools.combinations(range(3), 2))
MODELS = [Model("synthetic", "color", name) for name in ("feasible", "infeasible", "mixed")]
COMPARED = [Comparison("feasibility", MODELS[a], MODELS[b]) for a, b in PAIRS]
HARM = 6.0  # points that 20 % of wrong labels cost the default study, about
CONTROLLED = [*MODELS, *(Model("synthetic", "color", name) for name in ("harm-20", "null-a", "null-b"))]
CONTROLS = [Comparison("harm", CONTROLLED[3], MODELS[0]), Comparison("null", *CONTROLLED[4:])]
FAILURE_SHARE, FAILURE = 0.1, 0.4  # where seeds are not normal: the share of bad ones, and how much worse they are
COLUMNS = {
    "coverage": "coverage", "false_different": "false dif.", "false_equivalent": "false equ.",
    "own_bounds": "own bounds", "question_bound": "question", "harm_found": "harm seen", "null_found": "null found",
    "median_width": "width", "bootstrap_coverage": "bootstrap", "alone_coverage": "alone", "alone_width": "its width",
}  # fmt: skip


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
    first_spread: float | None = None  # of the seeds of the first condition, where it scatters otherwise

    @property
    def name(self) -> str:
        """Return the setting in words."""
        extra = ", models nearly alike" if self.rest_spread < 0.1 else ", some seeds fail" if self.failing_seeds else ""
        spread = f"{self.seed_spread:g}" + (
            "" if self.first_spread is None else f", of one condition {self.first_spread:g}"
        )
        return f"{self.photos} photos, {self.seeds} seeds, seed spread {spread}{extra}"

    @property
    def watched(self) -> tuple[tuple[int, int], ...]:
        """Return the pairs whose rates are told: those with the condition that scatters otherwise, if one does."""
        return PAIRS if self.first_spread is None else PAIRS[:2]

    def spread_of(self, condition: int) -> float:
        """Return the spread of the seeds of a condition."""
        return self.seed_spread if condition or self.first_spread is None else self.first_spread


SETTINGS = (
    *(Setting(*sizes) for sizes in itertools.product((600, 3000), (3, 5), (0.0, 0.05, 0.15))),
    *(Setting(n, m, 0.0, 0.03, 0.05, 0.95) for n, m in itertools.product((600, 3000), (3, 5))),
    *(Setting(3000, m, 0.05, failing_seeds=True) for m in (3, 5)),
    *(Setting(n, 3, 0.05, first_spread=first) for n in (600, 3000) for first in (0.1, 0.15)),
)


def accuracy(setting: Setting, condition: int, ease: float) -> float:
    """Return the true accuracy of a condition whose models have this mean ease."""
    seeds = setting.spread_of(condition)
    spread = np.sqrt(EASE**2 + setting.condition_spread**2 + seeds**2 + setting.rest_spread**2)
    if not setting.failing_seeds:
        return float(ndtr(ease / spread))
    return float((1 - FAILURE_SHARE) * ndtr(ease / spread) + FAILURE_SHARE * ndtr((ease - FAILURE) / spread))


def ease_of(setting: Setting, condition: int, wanted: float) -> float:
    """Return the mean ease that gives a condition a true accuracy."""
    from scipy.optimize import brentq

    return float(brentq(lambda ease: accuracy(setting, condition, ease) - wanted, -10, 10, xtol=1e-12))


def compared(answers: Sequence[np.ndarray]) -> list[CrossedMean]:
    """Return the differences of PAIRS as a study has them."""
    return differences(COMPARED, dict(zip(MODELS, answers)))


def conditions(
    setting: Setting, apart: Sequence[float], count: int, *stream: str | float
) -> Iterator[list[np.ndarray]]:
    """Yield answers, int8 (photos, seeds) for every condition, of studies whose conditions are so many points apart."""
    rng = generator("benchmark", *dataclasses.astuple(setting), *stream)
    means = [ease_of(setting, k, setting.accuracy + points / POINTS) for k, points in enumerate(apart)]
    shape = (setting.photos, setting.seeds)
    for _ in range(count):
        ease = EASE * rng.standard_normal((setting.photos, 1))
        answers = []
        for k, mean in enumerate(means):
            seeds = setting.spread_of(k) * rng.standard_normal((1, setting.seeds))
            if setting.failing_seeds:
                seeds -= FAILURE * (rng.random((1, setting.seeds)) < FAILURE_SHARE)
            suits = setting.condition_spread * rng.standard_normal((setting.photos, 1))
            latent = mean + ease + suits + seeds + setting.rest_spread * rng.standard_normal(shape)
            answers.append((latent > 0).astype(np.int8))
        yield answers


def controls(answers: Sequence[np.ndarray]) -> list[CrossedMean]:
    """Return the differences of CONTROLS as a study of CONTROLLED has them."""
    return differences([*COMPARED, *CONTROLS], dict(zip(CONTROLLED, answers)))[len(COMPARED) :]


def controls_found(setting: Setting, count: int) -> dict[str, float]:
    """Return how often a harm of HARM points is found, and something between two draws that are alike, in percent."""
    studies = conditions(setting, (0.0, 0.0, 0.0, -HARM, 0.0, 0.0), count, "controls")
    found = [[mean.p_value() <= ALPHA for mean in controls(answers)] for answers in studies]
    return dict(zip(("harm_found", "null_found"), POINTS * np.mean(found, axis=0)))


def bounds_that_hold(setting: Setting, count: int) -> dict[str, float]:
    """Return how often all bounds of a family hold at once, in the worst of FAMILIES: its own ones, and its question's.

    The margin of the verdicts is that of all settings, and the truth lies on it where bounds are hardest to keep.
    """
    held: dict[str, list[float]] = {"own_bounds": [], "question_bound": []}
    for apart in FAMILIES:
        kept = dict.fromkeys(held, 0)
        truths = [abs(apart[a] - apart[b]) for a, b in PAIRS]
        for answers in conditions(setting, apart, count, *apart, "family"):
            means = compared(answers)
            different = holm([mean.p_value() for mean in means], ["family"] * len(means))
            equivalent = holm([mean.equivalence_p_value(MARGIN) for mean in means], ["family"] * len(means))
            outcomes = [outcome_of(*each) for each in zip(means, different, equivalent)]
            own = family_bounds(means, outcomes, MARGIN)
            common = common_bound(own, means, MARGIN)
            kept["own_bounds"] += all(bound is not None and truth < bound for truth, bound in zip(truths, own))
            kept["question_bound"] += common is not None and max(truths) < common
        for name, number in kept.items():
            held[name].append(number / count)
    return {name: POINTS * min(rates) for name, rates in held.items()}


def measure(setting: Setting, count: int, bootstraps: int) -> dict[str, float]:
    """Return rates in percent over ``count`` studies without a difference and as many with some of MARGIN points."""
    covered, alone, false_different, false_equivalent, widths, by_bootstrap = [], [], [], [], [], []
    for apart in (FAMILIES[0], FAMILIES[2]):
        for k, answers in enumerate(conditions(setting, apart, count, *apart)):
            for (a, b), found in zip(PAIRS, compared(answers)):
                if (a, b) not in setting.watched:
                    continue
                truth, values = apart[a] - apart[b], answers[a] - answers[b]
                low, high = found.interval()
                covered.append(low <= truth <= high)
                widths.append(high - low)
                low, high = crossed_mean(values).interval()
                alone.append((low <= truth <= high, high - low))
                if truth == 0:
                    false_different.append(found.p_value() <= ALPHA)
                    continue
                false_equivalent.append(found.equivalence_p_value(MARGIN) <= ALPHA)
                if k < bootstraps:
                    drawn = bootstrap_means(values, 1000, generator("benchmark bootstrap", k))
                    by_bootstrap.append(np.quantile(drawn, 0.025) <= truth <= np.quantile(drawn, 0.975))
    rates = {
        "coverage": covered,
        "alone_coverage": [each for each, _ in alone],
        "false_different": false_different,
        "false_equivalent": false_equivalent,
        "bootstrap_coverage": by_bootstrap,
    }
    median = {"median_width": widths, "alone_width": [width for _, width in alone]}
    return {name: POINTS * float(np.mean(each)) for name, each in rates.items()} | {
        name: float(np.median(each)) for name, each in median.items()
    }


def seconds_of_draws(photos: int = 8000, seeds: int = 5, draws: int = 10_000) -> float:
    """Return the processor time of the bootstrap of one comparison."""
    first, second = next(conditions(Setting(photos, seeds, 0.05), (MARGIN, 0.0), 1))
    start = time.process_time()
    bootstrap_means(first - second, draws, generator("benchmark timing"))
    return time.process_time() - start


@click.command()
@click.option("--studies", "count", type=click.IntRange(min=10), default=2000, show_default=True)
@click.option("--bootstraps", type=click.IntRange(min=1), default=200, show_default=True, help="of these, per setting")
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures there too.")
def main(count: int, bootstraps: int, path: Path | None) -> None:
    """Print coverage, false verdicts and kept bounds of simulated studies, in percent, and the bootstrap's time."""
    error = POINTS * np.sqrt(0.95 * 0.05 / count)
    print(f"{count} studies without and {count} with a true difference of {MARGIN:g} points per setting; rates in %,")
    print(f"one standard error at 95 %: {error:.1f} at most; before Holm's correction")
    print("alone: coverage and median width were each comparison judged by its own seeds alone")
    print(f"bounds: all of a family of three comparisons at once, {count} studies, the worst of {len(FAMILIES)} truths")
    print(f"controls: a harm of {HARM:g} points seen, and something found between two draws that are alike")
    print(f"{'setting':<64}" + "".join(f"{head:>11}" for head in COLUMNS.values()))
    figures = {}
    for setting in SETTINGS:
        found = figures[setting.name] = measure(setting, count, min(bootstraps, count))
        found |= bounds_that_hold(setting, count) | controls_found(setting, count)
        print(f"{setting.name:<64}" + "".join(f"{found[name]:11.1f}" for name in COLUMNS), flush=True)
    seconds = seconds_of_draws()
    print(f"10,000 draws of the bootstrap for 8,000 photos x 5 seeds: {seconds:.2f} s of a core")
    if path:
        path.write_bytes(json_bytes({"studies": count, "settings": figures, "seconds_10000_draws": seconds}))


if __name__ == "__main__":
    main()
