"""Two experiments side by side: the same models on the same test photos, with the paired statistics of the study."""

from __future__ import annotations

import dataclasses
from typing import Any

from varireal.config.controls import is_control
from varireal.errors import UserError
from varireal.evaluation.comparisons import ALPHA, Comparison, Verdict, judge
from varireal.evaluation.predictions import ZERO_SHOT, Model
from varireal.evaluation.statistics import CrossedMean, crossed_mean
from varireal.reporting.answers import answers
from varireal.reporting.experiments import Experiment
from varireal.reporting.verdicts import figures
from varireal.reporting.words import interval_words, p_words, signed, verdict_words
from varireal.tables import Grid, Line, columns

FIRST, SECOND = "A", "B"
SAME = "the same answers to every photo"
ABSENT = "(not set)"


@dataclasses.dataclass(frozen=True)
class ComparedModel:
    """A model of both experiments. Accuracies are points of top-1 over the seeds that both have."""

    model: Model
    first: CrossedMean
    second: CrossedMean
    same: bool  # every prediction is: nothing to test
    verdict: Verdict  # of A − B


@dataclasses.dataclass(frozen=True)
class SideBySide:
    """Two experiments, compared model by model."""

    names: tuple[str, str]
    photos: int
    margin: float
    models: tuple[ComparedModel, ...]
    only: tuple[tuple[str, ...], tuple[str, ...]]  # models and seeds that only A, only B has, in words
    settings: dict[str, tuple[Any, Any]] | None  # dotted key -> both values (or ABSENT); None: not known of both


def compare(first: Experiment, second: Experiment, margin: float, seed: int = 0) -> SideBySide:
    """Compare every model that both experiments have, seed by seed over the seeds that both have.

    Controls are left out: each of the experiments shows by its own what it can see.

    Models whose every prediction agrees are not tested, and take no part in Holm's correction of the others. Nor does
    zero-shot, which has no seeds: McNemar's test speaks of such a pair.

    Args:
        margin: points of top-1 within which a difference does not matter.
        seed: of the bootstrap.

    Raises:
        UserError: the test photos or their classes differ, or no model is in both.
    """
    check_same_test_set(first, second)
    a, b = first.predictions, second.predictions
    shared = {
        model: sorted(a.by_model[model].keys() & b.by_model[model].keys())
        for model in sorted(a.by_model.keys() & b.by_model.keys(), key=_order)
        if not is_control(model.condition)
    }
    shared = {model: seeds for model, seeds in shared.items() if seeds}
    if not shared:
        raise UserError(
            f"{first.name} and {second.name} have no model with a seed in common; compare experiments with the "
            "same grid (grid.attributes, grid.conditions, grid.sources and grid.seeds of params.yaml)"
        )
    return SideBySide(
        names=(first.name, second.name),
        photos=len(a.photos),
        margin=margin,
        models=_compare_models(first, second, shared, margin, seed),
        only=(_only(first, second), _only(second, first)),
        settings=differing_settings(first, second),
    )


def check_same_test_set(first: Experiment, second: Experiment) -> None:
    """Check that both experiments were tested on the same photos of the same classes.

    Raises:
        UserError: they were not; the first difference, by image_id, is named.
    """
    remedy = "predictions can be paired on one test set only; compare experiments on the same data"
    a, b = first.predictions, second.predictions
    if a.photos != b.photos:
        image_id = min(set(a.photos) ^ set(b.photos))
        has, lacks = (first, second) if image_id in a.photos else (second, first)
        raise UserError(
            f"the test sets differ: {has.name} has the photo {image_id}, {lacks.name} does not "
            f"({len(a.photos)} and {len(b.photos)} photos); {remedy}"
        )
    for image_id, own, other in zip(a.photos, a.labels, b.labels):
        if own != other:
            raise UserError(
                f"the test sets differ: {image_id} is of class {own} in {first.name}, of class {other} in "
                f"{second.name}; {remedy}"
            )


def differing_settings(first: Experiment, second: Experiment) -> dict[str, tuple[Any, Any]] | None:
    """Return the keys of params.yaml whose values differ, with both values; None where a params.yaml is missing."""
    if first.settings is None or second.settings is None:
        return None
    keys = sorted(first.settings.keys() | second.settings.keys())
    values = {key: (first.settings.get(key, ABSENT), second.settings.get(key, ABSENT)) for key in keys}
    return {key: (a, b) for key, (a, b) in values.items() if a != b}


def _order(model: Model) -> tuple[Any, ...]:
    """Return a key that sorts baselines first, then attribute by attribute."""
    return (bool(model.attribute), model != ZERO_SHOT, model.attribute, model.condition, model.source)


def _compare_models(
    first: Experiment, second: Experiment, shared: dict[Model, list[int]], margin: float, seed: int
) -> tuple[ComparedModel, ...]:
    right, pairs, same = {}, {}, set()
    for model, seeds in shared.items():
        pair = [dataclasses.replace(model, experiment=name) for name in (FIRST, SECOND)]
        for one, experiment in zip(pair, (first, second)):
            right[one] = experiment.predictions.right(model, seeds)
        pairs[model] = Comparison("experiments", *pair)
        a, b = (experiment.predictions.by_model[model] for experiment in (first, second))
        if all((a[seed] == b[seed]).all() for seed in seeds):
            same.add(model)
    tested = [model for model in pairs if model not in same and model != ZERO_SHOT]
    apart = [[model] for model in pairs if model not in tested]
    verdicts = {
        model: verdict
        for family in (tested, *apart)
        for model, verdict in zip(family, judge([pairs[model] for model in family], right, margin, seed))
    }
    return tuple(
        ComparedModel(
            model,
            crossed_mean(right[pairs[model].first]),
            crossed_mean(right[pairs[model].second]),
            model in same,
            verdicts[model],
        )
        for model in pairs
    )


def _only(own: Experiment, other: Experiment) -> tuple[str, ...]:
    lacking = []
    mine, theirs = own.predictions.by_model, other.predictions.by_model
    for model in sorted((model for model in mine if not is_control(model.condition)), key=_order):
        seeds = sorted(mine[model].keys() - theirs.get(model, {}).keys())
        if model not in theirs:
            lacking.append(model.name)
        elif seeds:
            lacking.append(f"{model.name}, {'seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}")
    return tuple(lacking)


def model_words(row: ComparedModel, margin: float) -> str:
    """Return the verdict on a model in words."""
    if row.same:
        return SAME
    if row.model == ZERO_SHOT:
        told = "differ" if row.verdict.mcnemar <= ALPHA else "cannot be told apart"
        return f"without seeds: these two {told} (McNemar)"
    return verdict_words(row.verdict, margin)


def summary_lines(compared: SideBySide) -> list[str]:
    """Return what the comparison shows in plain sentences."""
    tested = [row.verdict for row in compared.models if not row.same and row.model != ZERO_SHOT]
    lines = [f"{answer.question} {answer.short}" for answer in answers(tested, compared.margin)]
    if same := sum(row.same for row in compared.models):
        lines.append(f"{same} of {len(compared.models)} models give {SAME}.")
    for name, only in zip((FIRST, SECOND), compared.only):
        if only:
            lines.append(f"Only {name} has: {'; '.join(only)}.")
    if compared.settings is None:
        lines.append("Settings are not compared: params.yaml is not known of both.")
    elif not compared.settings:
        lines.append("No setting of params.yaml differs.")
    return lines


def as_json(compared: SideBySide) -> dict[str, Any]:
    """Return everything about the comparison as JSON values; differences are A − B in points."""
    settings = None
    if compared.settings is not None:
        settings = {key: {FIRST: a, SECOND: b} for key, (a, b) in compared.settings.items()}
    return {
        FIRST: compared.names[0],
        SECOND: compared.names[1],
        "photos": compared.photos,
        "margin": compared.margin,
        "alpha": ALPHA,
        "models": [
            {
                "attribute": row.model.attribute or None,
                "condition": row.model.condition or None,
                "source": row.model.source,
                "top1": {FIRST: round(row.first.mean, 4), SECOND: round(row.second.mean, 4)},
                "verdict": model_words(row, compared.margin),
                "difference": None if row.same else figures(row.verdict, compared.margin),
            }
            for row in compared.models
        ],
        "only": {FIRST: list(compared.only[0]), SECOND: list(compared.only[1])},
        "settings": settings,
    }


def grids(compared: SideBySide) -> list[Grid]:
    """Return the tables for the terminal: models, and the settings that differ."""
    return [_models_grid(compared), *([_settings_grid(compared.settings)] if compared.settings else [])]


def _models_grid(compared: SideBySide) -> Grid:
    lines = []
    for row in compared.models:
        cells = (
            row.model.name,
            "–" if row.model == ZERO_SHOT else str(row.verdict.difference.seeds),
            f"{row.first.mean:.1f}",
            f"{row.second.mean:.1f}",
            signed(row.verdict.difference.mean),
            "" if row.same else interval_words(row.verdict),
            "" if row.same else p_words(row.verdict.mcnemar),
            model_words(row, compared.margin),
        )
        lines.append(Line(cells, section=row.model.attribute))
    heads = (
        *columns("model"),
        *columns("seeds", kind="number"),
        *columns(FIRST, SECOND, f"{FIRST} − {SECOND}", "95 % interval", "McNemar p", kind="number", wrap="never"),
        *columns("verdict", min_width=24),
    )
    title = (
        f"{FIRST}: {compared.names[0]}\n{SECOND}: {compared.names[1]}\n"
        f"Top-1 on {compared.photos} test photos (%), difference {FIRST} − {SECOND} in points with its 95 % interval"
    )
    return Grid(title, heads, tuple(lines))


def _settings_grid(settings: dict[str, tuple[Any, Any]]) -> Grid:
    lines = tuple(Line((key, *map(str, values))) for key, values in settings.items())
    return Grid("Settings that differ", columns("key", FIRST, SECOND, wrap="fold"), lines)
