"""Dose and response: accuracy against the share of infeasible images, from the experiments of a sweep."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from varireal.errors import UserError
from varireal.evaluation.comparisons import Outcome
from varireal.evaluation.dose import Trend, trends
from varireal.evaluation.predictions import NO_SEED, REAL, ZERO_SHOT, Model
from varireal.evaluation.statistics import crossed_mean
from varireal.reporting.experiments import Experiment
from varireal.reporting.side_by_side import check_same_test_set
from varireal.reporting.words import signed, undecided_words
from varireal.store import content_key

if TYPE_CHECKING:
    import numpy as np

    from varireal.config import Params

ENDS = {0.0: "feasible", 1.0: "infeasible"}  # the ratios at which the condition mixed is a pure one
# settings that the points of a sweep may differ in, and those that no prediction depends on
NOT_OF_THE_STUDY: dict[str, Any] = {
    "mix": {"ratio"}, "edit": {"edits_per_photo"}, "compute": {"device", "num_threads"},
    "grid": {"controls", "control_attributes"}, "report": True, "settle": True, "tracking": True,
    "watch": True,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class SweepExperiment:
    """One experiment of a sweep."""

    ratio: float
    edits_per_photo: int
    rev: str  # of git
    experiment: Experiment


class _Figures(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Accuracy(_Figures):
    """Top-1 in percent with its 95 % interval over photos and seeds."""

    mean: float
    low: float
    high: float


class DosePoint(Accuracy):
    """The accuracy at one ratio."""

    ratio: float = Field(ge=0, le=1)
    experiment: str


class DoseCurve(_Figures):
    """Accuracy against ratio for one attribute, training source and number of edits per photo; its trend."""

    attribute: str
    source: str
    edits_per_photo: int
    points: tuple[DosePoint, ...] = Field(min_length=2)  # by ratio
    slope: float  # points of top-1 from all feasible to all infeasible
    slope_low: float
    slope_high: float
    p_slope_holm: float
    p_flat_holm: float
    outcome: Outcome
    words: str

    @property
    def name(self) -> str:
        """Return attribute and training source, such as ``color, synthetic``."""
        return f"{self.attribute}, {self.source}"


class DoseResponse(_Figures):
    """What a sweep found; the content of metrics/sweep.json."""

    dataset: str
    study: str  # see study_key
    margin: float
    photos: int
    seeds: int
    baselines: dict[str, Accuracy]
    curves: tuple[DoseCurve, ...]
    experiments: dict[str, str]  # name -> git revision


def study_key(params: Params) -> str:
    """Return a hash of the settings that all points of a sweep share: two sweeps of one study have the same."""
    return content_key(params.model_dump(mode="json", exclude=NOT_OF_THE_STUDY))[:16]


def read_dose_response(path: Path, params: Params) -> DoseResponse | None:
    """Return the sweep that belongs to the study of these settings, or None if there is none.

    Raises:
        UserError: the file does not hold a sweep.
    """
    if not path.is_file():
        return None
    text = path.read_bytes()
    if text.strip() == b"{}":  # no sweep yet
        return None
    try:
        sweep = DoseResponse.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise UserError(
            f"{path} does not hold a sweep ({where}: {problem['msg']}); make it anew with `varireal sweep`, "
            "or take it back with git"
        ) from error
    return sweep if sweep.study == study_key(params) else None


def dose_response(swept: Sequence[SweepExperiment], params: Params) -> DoseResponse:
    """Return the curves of a sweep.

    Args:
        swept: experiments of one study with at least two ratios for each number of edits per photo.
        params: the settings of one of them.

    Raises:
        UserError: the experiments' test photos differ, one lacks a model of the grid, or an end of a curve is not what
            the pure condition predicts.
    """
    for other in swept[1:]:
        check_same_test_set(swept[0].experiment, other.experiment)
    grid, seeds, margin = params.grid, params.grid.seeds, params.report.margin
    curves: dict[tuple[str, str, int], dict[float, np.ndarray]] = {}
    for each in sorted(swept, key=lambda m: (m.edits_per_photo, m.ratio)):
        for attribute in grid.attributes:
            for source in grid.sources:
                mixed = Model(source, attribute, "mixed")
                _check_end(each, mixed, grid.conditions, seeds)
                right = _right(each.experiment, mixed, seeds)
                curves.setdefault((attribute, source, each.edits_per_photo), {})[each.ratio] = right
    curves = dict(sorted(curves.items(), key=lambda item: _place(item[0], grid.attributes, grid.sources)))
    names = {(each.edits_per_photo, each.ratio): each.experiment.name for each in swept}
    first = swept[0].experiment
    return DoseResponse(
        dataset=params.dataset.name,
        study=study_key(params),
        margin=margin,
        photos=len(first.predictions.photos),
        seeds=len(seeds),
        baselines={
            "real": _accuracy(_right(first, REAL, seeds)),
            **({"zero-shot": _accuracy(_right(first, ZERO_SHOT, [NO_SEED]))} if grid.zero_shot else {}),
        },
        curves=tuple(
            _curve(key, curve, names, trend, margin)
            for (key, curve), trend in zip(curves.items(), trends(list(curves.values()), margin))
        ),
        experiments={each.experiment.name: each.rev for each in swept},
    )


def trend_words(trend: Trend, margin: float) -> str:
    """Return what a trend says in words."""
    size = f"{abs(trend.slope):.1f} points from all feasible to all infeasible"
    if trend.outcome == "different":
        return f"{'rises' if trend.slope > 0 else 'falls'} by {size}"
    if trend.outcome == "equivalent":
        return f"flat: changes by less than {margin:g} points from all feasible to all infeasible"
    return undecided_words(trend.slope, margin, trend.photos, trend.seeds, trend.needed)


def dose_headline(sweep: DoseResponse) -> str:
    """Return what all curves say together, in one sentence."""
    total = len(sweep.curves)
    counts = {outcome: sum(c.outcome == outcome for c in sweep.curves) for outcome in ("equivalent", "undecided")}
    rising = sum(c.outcome == "different" and c.slope > 0 for c in sweep.curves)
    falling = total - rising - sum(counts.values())
    return (
        f"With a growing share of infeasible images accuracy falls in {falling}, rises in {rising} and is flat within "
        f"±{sweep.margin:g} points in {counts['equivalent']} of {total} curves; {counts['undecided']} are undecided."
    )


def interval(curve: DoseCurve) -> str:
    """Return the interval of a slope, such as ``−1.1 to +2.3``."""
    return f"{signed(curve.slope_low)} to {signed(curve.slope_high)}"


def dose_paths(sweep: DoseResponse) -> dict[str, DoseCurve]:
    """Return the curves by a path that MLflow allows as a metric's name, such as ``color/real-and-synthetic``."""
    several = len({curve.edits_per_photo for curve in sweep.curves}) > 1
    named = {}
    for curve in sweep.curves:
        parts = [curve.attribute, curve.source.replace("+", "-and-")]
        named["/".join([*parts, *([f"{curve.edits_per_photo}-edits"] if several else [])])] = curve
    return named


def _curve(
    key: tuple[str, str, int], curve: Mapping[float, np.ndarray], names: Mapping[tuple[int, float], str], trend: Trend,
    margin: float,
) -> DoseCurve:  # fmt: skip
    attribute, source, edits = key
    return DoseCurve(
        attribute=attribute,
        source=source,
        edits_per_photo=edits,
        points=tuple(
            DosePoint(ratio=ratio, experiment=names[edits, ratio], **_accuracy(right).model_dump())
            for ratio, right in curve.items()
        ),
        slope=_round(trend.slope),
        slope_low=_round(trend.interval[0]),
        slope_high=_round(trend.interval[1]),
        p_slope_holm=_round(trend.p_slope_holm),
        p_flat_holm=_round(trend.p_flat_holm),
        outcome=trend.outcome,
        words=trend_words(trend, margin),
    )


def _accuracy(right: np.ndarray) -> Accuracy:
    mean = crossed_mean(right)
    low, high = mean.interval()
    return Accuracy(mean=_round(mean.mean), low=_round(max(0.0, low)), high=_round(min(100.0, high)))


def _round(value: float) -> float:
    return round(value, 4) + 0.0  # no negative zero


def _place(key: tuple[str, str, int], attributes: Sequence[str], sources: Sequence[str]) -> tuple[int, int, int]:
    return attributes.index(key[0]), sources.index(key[1]), key[2]


def _right(experiment: Experiment, model: Model, seeds: Sequence[int]) -> np.ndarray:
    if (missing := experiment.predictions.missing({model: seeds})) is not None:
        raise UserError(f"{experiment.name} lacks predictions of {missing}; make them anew")
    return experiment.predictions.right(model, seeds)


def _check_end(each: SweepExperiment, mixed: Model, conditions: Sequence[str], seeds: Iterable[int]) -> None:
    """Check that the condition mixed at ratio 0 or 1 is the pure condition to the last prediction."""
    condition = ENDS.get(each.ratio)
    if condition is None or condition not in conditions:
        return
    pure = dataclasses.replace(mixed, condition=condition)
    predicted = each.experiment.predictions.by_model
    for seed in seeds:
        if (predicted[mixed][seed] != predicted[pure][seed]).any():
            raise UserError(
                f"{each.experiment.name}: at ratio {each.ratio:g} {mixed.name}, seed {seed}, does not predict what "
                f"{pure.name} does, though both train on the same images; was a run changed by hand? make it anew"
            )
