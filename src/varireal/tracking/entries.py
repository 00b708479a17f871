"""What MLflow's runs hold, as plain values: one run for every cell and seed, and their parent."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from varireal.evaluation.statistics import spread
from varireal.reporting.across import Across
from varireal.reporting.data import explaining
from varireal.reporting.dose import DoseResponse, dose_paths
from varireal.reporting.provenance import flat_settings
from varireal.store import content_key

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.reporting.provenance import Provenance
    from varireal.reporting.results import CellResult, Results, SeedRun

SHORT = {"background": "bg", "color": "col", "texture": "tex", "feasible": "feas", "infeasible": "inf", "mixed": "mix"}
MOST_CHANGES = 3  # settings that a name tells
OF_ANOTHER = {"dataset.name", "dataset.root"}  # settings that are of another data set where they differ


@dataclasses.dataclass(frozen=True)
class Entry:
    """What one run holds, as plain values."""

    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    curve: tuple[dict[str, float], ...] = ()  # metrics along ``step``
    per_class: dict[str, float | None] = dataclasses.field(default_factory=dict)
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # all of them, kept as a file

    @property
    def content(self) -> str:
        """Return a hash of everything the run holds."""
        return content_key(dataclasses.asdict(self))


def study_entries(params: Params, results: Results) -> list[Entry]:
    """Return a run for zero-shot if it was tested, and one for every seed of real-only, of every cell and control."""
    zero = results.zero_shot
    entries = []
    if zero is not None:
        told = _cell_params("zero-shot", "none", "none", "zero-shot", "none", "none")
        tested = {"test/top1": zero.top1, "test/top5": zero.top5}
        entries.append(Entry("zero-shot", told, tested, per_class=zero.per_class))
    for cell in (results.real, *results.cells, *results.controls):
        entries += [_entry(cell, run, params, results) for run in cell.runs]
    return entries


def parent_entry(made: Provenance, params: Params, results: Results, verdicts: Mapping[str, float]) -> Entry:
    """Return the run of the whole study: what was changed, the mean over seeds of every cell, every comparison."""
    metrics = dict(verdicts)
    if results.zero_shot is not None:
        metrics = {"zero-shot/top1": results.zero_shot.top1, **metrics}
    for cell in (results.real, *results.cells, *results.controls):
        path = _cell_path(cell)
        over_seeds = spread([run.top1 for run in cell.runs])
        metrics[f"{path}/top1"] = over_seeds.mean
        if over_seeds.std is not None:
            metrics[f"{path}/top1_std"] = over_seeds.std
    for (attribute, feasibility), figures in results.measured.items():
        known = {name: float(value) for name, value in figures.items() if value is not None}
        metrics |= {f"data/{attribute}/{feasibility}/{name}": value for name, value in known.items()}
    settings = study_settings(params)
    texts = setting_texts(settings)
    told = ["mix.ratio", *_changes(made)]
    return Entry(
        name=study_name(params.mix.ratio, made),
        params={key: texts[key] for key in told if key in texts},
        metrics=metrics,
        settings=settings,
    )


def top1_metrics(results: Results) -> list[str]:
    """Return the names of a study's metrics that hold a cell's top-1: a line of conditions after the other."""
    first = list(dict.fromkeys((cell.attribute, cell.source) for cell in results.cells))
    ordered = sorted(results.cells, key=lambda cell: first.index((cell.attribute, cell.source)))
    return [f"{_cell_path(cell)}/top1" for cell in ordered]


def study_settings(params: Params) -> dict[str, Any]:
    """Return the settings that make a study."""
    return params.model_dump(mode="json", exclude={"tracking": {"register_model"}})  # it makes no other study


def _cell_path(cell: CellResult) -> str:
    return "/".join(part for part in (cell.attribute, cell.condition, cell.source) if part).replace("+", "-and-")


def _entry(cell: CellResult, run: SeedRun, params: Params, results: Results) -> Entry:
    metrics = {
        "test/top1": run.top1,
        "test/top5": run.top5,
        "val/best_top1": run.val_top1,
        "best_step": float(run.best_step),
    }
    ratio = "none"
    if cell.attribute is not None and cell.condition is not None:
        ratio = str(params.mix.share(cell.condition))
        edits = results.measured.get((cell.attribute, cell.condition))  # none of a mixed cell's own
        metrics |= {f"data/{name}": value for name, value in explaining(edits).items()} if edits else {}
        metrics["synthetic_images"] = float(results.mixes[cell.attribute, cell.condition]["images"])
    return Entry(
        name=f"{cell.name} seed {run.seed}",
        params=_cell_params(
            short_name(cell), cell.attribute or "none", cell.condition or "none", cell.source, ratio, str(run.seed)
        ),
        metrics=metrics,
        curve=tuple({name.replace("_", "/", 1): value for name, value in look.items()} for look in run.curve),
        per_class=run.per_class,
    )


def short_name(cell: CellResult) -> str:
    """Return a name for an axis, such as ``col+r inf`` for color, real+synthetic, infeasible.

    Sorted by it, the conditions of an attribute and training source stand beside each other.
    """
    if cell.attribute is None or cell.condition is None:
        return cell.name
    source = "+r" if cell.source == "real+synthetic" else ""
    control = cell.condition.replace("harm-", "h").replace("null-", "n")  # MLflow's axis shows eight characters
    return f"{SHORT[cell.attribute]}{source} {SHORT.get(cell.condition, control)}"


def _cell_params(cell: str, attribute: str, condition: str, source: str, ratio: str, seed: str) -> dict[str, str]:
    return {
        "cell": cell,
        "attribute": attribute,
        "condition": condition,
        "training_source": source,
        "ratio": ratio,
        "seed": seed,
    }


def setting_texts(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return settings by dotted keys as MLflow holds params."""
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in flat_settings(settings).items()}


def study_name(ratio: float, made: Provenance) -> str:
    """Return the name of a study's run: its ratio, what else differs from the committed settings, DVC's experiment.

    Such as ``ratio 0.25 · seeds [0] · dying-obit``. Another data set brings dozens of settings, which tell nothing.
    """
    changes = {key: value for key, value in _changes(made).items() if key != "mix.ratio"}
    if OF_ANOTHER & changes.keys():
        changes = {}
    words = [f"{key.rsplit('.', 1)[-1]} {_short(value)}" for key, value in list(changes.items())[:MOST_CHANGES]]
    if len(changes) > MOST_CHANGES:
        words.append(f"{len(changes) - MOST_CHANGES} more changes")
    parts = [f"ratio {ratio:g}", ", ".join(words), made.experiment]
    return " · ".join(part for part in parts if part)


def _changes(made: Provenance) -> dict[str, Any]:
    """Return the settings that somebody changed; what DVC watches follows from them."""
    return {key: value for key, value in made.changed_settings.items() if not key.startswith("watch.")}


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":")).replace('"', "")


def across_entry(across: Across) -> Entry:
    """Return the run of studies side by side: every study's bound and differences, below its number and name."""
    metrics: dict[str, float] = {} if across.bound is None else {"bound": across.bound}
    params = {"studies": str(len(across.sides)), "margin": f"{across.margin:g}"}
    for number, side in enumerate(across.sides, 1):
        name = f"{number}-{re.sub(r'[^A-Za-z0-9_-]', '-', side.study.name)}"
        params[name] = side.label
        if (bound := side.question["bound"]) is not None:
            metrics[f"{name}/bound"] = bound
        for (attribute, source), figures in side.pairs.items():
            path = f"{name}/{attribute}/{source.replace('+', '-and-')}"
            metrics |= {f"{path}/{each}": figures[each] for each in ("points", "low", "high")}
    return Entry(name="classifiers and editors side by side", params=params, metrics=metrics)


def sweep_entry(sweep: DoseResponse) -> Entry:
    """Return the run of a sweep: its slopes, and every curve along the ratio in percent, MLflow's step."""
    ratios = sorted({point.ratio for curve in sweep.curves for point in curve.points})
    looks: dict[float, dict[str, float]] = {ratio: {"step": 100 * ratio} for ratio in ratios}
    metrics = {}
    for path, curve in dose_paths(sweep).items():
        metrics |= {
            f"{path}/slope": curve.slope, f"{path}/slope_low": curve.slope_low, f"{path}/slope_high": curve.slope_high,
        }  # fmt: skip
        for point in curve.points:
            looks[point.ratio][f"{path}/top1"] = point.mean
    return Entry(
        name=f"dose and response, ratios {', '.join(f'{ratio:g}' for ratio in ratios)}",
        params={"ratios": json.dumps(ratios), "photos": str(sweep.photos), "seeds": str(sweep.seeds)},
        metrics=metrics,
        curve=tuple(looks.values()),
    )
