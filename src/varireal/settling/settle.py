"""Takes one look after the other until every comparison is decided, or the budget is spent."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence

from varireal import paths
from varireal.base.files import write_json
from varireal.errors import UserError
from varireal.evaluation.comparisons import comparisons
from varireal.evaluation.controls import blind_sources
from varireal.evaluation.looks import Look, Looks, is_hopeless, outlook
from varireal.evaluation.pooling import CONTROLS
from varireal.evaluation.pooling import differences as pooled_differences
from varireal.evaluation.statistics import CrossedMean
from varireal.reporting.experiments import Experiment, read_experiment
from varireal.reporting.settling import Settled, TakenLook, look_lines, next_line, settled_json
from varireal.reporting.side_by_side import check_same_test_set
from varireal.settling.costs import seconds_of
from varireal.settling.plan import PlannedLook, asked, check_plan, plan_json
from varireal.sweeping.run import Tell, run_missing

HOUR = 3600.0

Clock = Callable[[], float]  # seconds


@dataclasses.dataclass(frozen=True)
class Budget:
    """How far to go."""

    seeds: int
    hours: float | None = None  # None: as long as it takes


def settle(
    looks: Sequence[PlannedLook], budget: Budget, tell: Tell, show: Tell, clock: Clock = time.monotonic
) -> Settled:
    """Take the planned looks and write what is found after each, until all is decided or the budget is spent.

    Args:
        looks: all that are planned.
        tell: takes lines about what is being done.
        show: takes lines about what was found.

    Raises:
        UserError: the budget allows no look, earlier looks were planned otherwise, or an experiment failed.
    """
    affordable = [look for look in looks if look.seeds <= budget.seeds]
    if not affordable:
        raise UserError(f"{budget.seeds} seeds allow no look; the first is after {looks[0].seeds} (settle.looks)")
    plan = plan_json(looks)
    check_plan(plan)
    margin, compared = looks[0].params.report.margin, asked(looks[0].params)
    end = math.inf if budget.hours is None else clock() + HOUR * budget.hours
    sequence, first = Looks(margin), None
    taken: list[TakenLook] = []
    settled = None
    for place, look in enumerate(affordable):
        saved = run_missing([look], 1, tell, lambda wanted: wanted.name)[look.name]
        experiment = dataclasses.replace(read_experiment(saved.rev), name=saved.name)
        first = first or experiment
        check_same_test_set(first, experiment)
        means, blind = differences(experiment, look)
        unproven = [k for k, each in enumerate(compared) if each.first.source in blind]
        found = sequence.take(means, look.level, unproven)
        taken.append(TakenLook(look.number, look.seeds, look.level, saved.name, saved.rev, found, tuple(blind)))
        following = looks[place + 1 : place + 2]
        models = following[0].fine_tunings - look.fine_tunings if following else 0
        cost = seconds_of(models)
        state = _state(found, affordable[place + 1 :], margin, clock() + (cost or 0.0) <= end)
        settled = Settled(plan, margin, state, tuple(compared), tuple(taken), len(looks))
        write_json(paths.SETTLED, settled_json(settled))
        for line in look_lines(settled):
            show(line)
        if following and found.undecided:
            ahead = outlook(found, following[0].seeds, following[0].level, margin)
            show(next_line(settled, following[0].seeds, models, cost, ahead))
        if state != "going on":
            break
    assert settled is not None
    return settled


def _state(found: Look, left: Sequence[PlannedLook], margin: float, in_time: bool) -> str:
    """Return whether another of the looks that are left is to be taken, or why not."""
    if not found.undecided:
        return "decided"
    if not left:
        return "no seeds left"
    if is_hopeless(found, [(look.seeds, look.level) for look in left], margin):
        return "hopeless"
    return "going on" if in_time else "no time left"


def differences(experiment: Experiment, look: PlannedLook) -> tuple[list[CrossedMean], list[str]]:
    """Return the difference of every comparison of the question, and the training sources whose controls fail.

    Raises:
        UserError: the experiment lacks predictions of a model or a seed.
    """
    compared, seeds, predictions = asked(look.params), look.params.grid.seeds, experiment.predictions
    controls = [each for each in comparisons(look.params.grid) if each.family in CONTROLS]
    everything = [*compared, *controls]
    models = {model: seeds for each in everything for model in (each.first, each.second)}
    if (missing := predictions.missing(models)) is not None:
        raise UserError(f"{experiment.name} lacks predictions of {missing}; make them anew")
    means = pooled_differences(everything, {model: predictions.right(model, seeds) for model in models})
    return means[: len(compared)], blind_sources(controls, means[len(compared) :], look.level)
