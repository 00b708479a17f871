"""Are verdicts to be trusted that were looked for several times, and how many seeds does looking save?

Studies are simulated as in benchmarks/verdicts.py: three conditions, compared with each other, whose true accuracies
are so many points apart. Each study gets seeds until all its three comparisons are decided, as `varireal settle` adds
them, with the looks of the default settings; equivalence waits for the controls, a harm of 6 points that must be found
and two draws that are alike. What any look claimed is held against the truth, and seeds are counted.

    python -m benchmarks.settling --studies 200
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from benchmarks.verdicts import CONTROLS, HARM, MARGIN, PAIRS, POINTS, Setting, compared, conditions, controls

from varireal.base.files import json_bytes
from varireal.config import SettleConfig
from varireal.evaluation.comparisons import holm, outcome_of
from varireal.evaluation.controls import blind_sources
from varireal.evaluation.looks import Looks, levels
from varireal.evaluation.statistics import CrossedMean

SEEDS = SettleConfig().looks
# how many points the three conditions are apart: not at all, by a half and the whole margin, by it twice, and by far
TRUTHS = (
    (0.0, 0.0, 0.0),
    (MARGIN, 0.0, MARGIN / 2),
    (MARGIN, 0.0, MARGIN),
    (4 * MARGIN, 0.0, 4 * MARGIN),
)
SETTINGS = (
    Setting(600, SEEDS[-1], 0.05),
    *(Setting(3000, SEEDS[-1], spread) for spread in (0.0, 0.05, 0.15)),
    Setting(3000, SEEDS[-1], 0.05, failing_seeds=True),
)
CLAIMS = ("false_different", "false_equivalent", "own_bounds", "question_bound")


@dataclasses.dataclass
class Told:
    """What was claimed in one study."""

    seeds: int = 0  # that were used
    decided: int = 0  # comparisons
    false_different: bool = False
    false_equivalent: bool = False
    own_bounds: bool = True  # all bounds of all looks hold
    question_bound: bool = True


def settle(
    means: dict[int, list[CrossedMean]], controlled: dict[int, list[CrossedMean]], truths: Sequence[float]
) -> Told:
    """Return what looks tell of a study until all is decided.

    Args:
        means: by number of seeds, the differences of PAIRS.
        controlled: by number of seeds, the differences of CONTROLS.
        truths: their true sizes in points.
    """
    looks, told = Looks(MARGIN), Told()
    for (seeds, found), level in zip(means.items(), levels(SEEDS)):
        blind = blind_sources(CONTROLS, controlled[seeds], level)
        look = looks.take(found, level, range(len(PAIRS)) if blind else ())
        told.seeds = seeds
        for verdict, truth in zip(look.verdicts, truths):
            told.false_different |= verdict.outcome == "different" and truth == 0
            told.false_equivalent |= verdict.outcome == "equivalent" and truth >= MARGIN
            told.own_bounds &= truth < verdict.bound
        told.question_bound &= max(truths) < look.bound
        told.decided = len(PAIRS) - len(look.undecided)
        if not look.undecided:
            break
    return told


def decided_at_once(means: Sequence[CrossedMean]) -> int:
    """Return how many comparisons a study decides that looks once, at 5 %."""
    family = ["family"] * len(means)
    different = holm([mean.p_value() for mean in means], family)
    equivalent = holm([mean.equivalence_p_value(MARGIN) for mean in means], family)
    return sum(outcome_of(*each) != "undecided" for each in zip(means, different, equivalent))


def measure(setting: Setting, apart: Sequence[float], count: int) -> dict[str, float]:
    """Return rates in percent and mean seeds over so many studies, beside those of fixed numbers of seeds."""
    truths = [abs(apart[a] - apart[b]) for a, b in PAIRS]
    told: list[Told] = []
    at_once = dict.fromkeys(SEEDS, 0)
    for answers in conditions(setting, (*apart, apart[0] - HARM, 0.0, 0.0), count, *apart, "settle"):
        known = {n: [own[:, :n] for own in answers] for n in SEEDS}
        means = {n: compared(own[:3]) for n, own in known.items()}
        told.append(settle(means, {n: controls(own) for n, own in known.items()}, truths))
        for seeds, own in means.items():
            at_once[seeds] += decided_at_once(own)
    figures = {name: POINTS * float(np.mean([getattr(each, name) for each in told])) for name in CLAIMS}
    figures["decided"] = POINTS * float(np.mean([each.decided / len(PAIRS) for each in told]))
    figures["all_decided"] = POINTS * float(np.mean([each.decided == len(PAIRS) for each in told]))
    figures["seeds"] = float(np.mean([each.seeds for each in told]))
    return figures | {f"once_{n}": POINTS * decided / len(PAIRS) / count for n, decided in at_once.items()}


@click.command()
@click.option("--studies", "count", type=click.IntRange(min=10), default=200, show_default=True)
@click.option(
    "--only", type=click.IntRange(min=1, max=len(SETTINGS)), help="One setting by its number, in place of all."
)
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures there too.")
def main(count: int, only: int | None, path: Path | None) -> None:
    """Print false claims and kept bounds of studies that were looked at again and again, and the seeds they used."""
    gc.freeze()  # statsmodels collects garbage at every correction, which takes long with all that is imported
    print(f"{count} studies a line, looks after {SEEDS} seeds; margin {MARGIN:g}; rates in %,")
    print(f"one standard error at 95 %: {POINTS * np.sqrt(0.05 * 0.95 / count):.1f}")
    print("decided: of all comparisons, by settle with so many seeds on average, and by one look with a fixed number")
    heads = ("false dif.", "false equ.", "own bounds", "question", "decided", "seeds", *(f"of {n}" for n in SEEDS))
    print(f"{'setting, and points apart':<60}" + "".join(f"{head:>11}" for head in heads))
    figures = {}
    for setting in SETTINGS if only is None else SETTINGS[only - 1 : only]:
        for apart in TRUTHS:
            name = f"{setting.name}; {', '.join(f'{points:g}' for points in apart)}"
            found = figures[name] = measure(setting, apart, count)
            shown = (*CLAIMS, "decided", "seeds", *(f"once_{n}" for n in SEEDS))
            print(f"{name:<60}" + "".join(f"{found[each]:11.1f}" for each in shown), flush=True)
    if path:
        path.write_bytes(json_bytes({"studies": count, "settings": figures}))


if __name__ == "__main__":
    main()
