"""What MLflow's runs hold, as plain values: one run for every cell and seed, and their parent."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from varireal.evaluation.statistics import spread
from varireal.reporting.data import explaining
from varireal.reporting.dose import DoseResponse, dose_headline, dose_paths, interval
from varireal.reporting.provenance import flat_settings
from varireal.reporting.words import signed
from varireal.store import content_key

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.reporting.provenance import Provenance
    from varireal.reporting.results import CellResult, Results, SeedRun

MOST_CHANGES = 3  # settings that a name tells


@dataclasses.dataclass(frozen=True)
class Entry:
    """What one run holds, as plain values."""

    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    curve: tuple[dict[str, float], ...] = ()  # metrics along ``step``
    per_class: dict[str, float | None] = dataclasses.field(default_factory=dict)

    @property
    def content(self) -> str:
        """Return a hash of everything the run holds."""
        return content_key(dataclasses.asdict(self))


def study_entries(params: Params, results: Results) -> list[Entry]:
    """Return a run for zero-shot, and one for every seed of the real-only baseline, of every cell and control."""
    zero = results.zero_shot
    entries = [
        Entry(
            name="zero-shot",
            params=_cell_params("zero-shot", "none", "none", "zero-shot", "none", "none"),
            metrics={"test/top1": zero.top1, "test/top5": zero.top5},
            per_class=zero.per_class,
        )
    ]
    for cell in (results.real, *results.cells, *results.controls):
        entries += [_entry(cell, run, params, results) for run in cell.runs]
    return entries


def parent_entry(name: str, params: Params, results: Results, verdicts: Mapping[str, float]) -> Entry:
    """Return the run of the whole study: every setting, the mean over seeds of every cell, every comparison."""
    metrics = {"zero-shot/top1": results.zero_shot.top1, **verdicts}
    for cell in (results.real, *results.cells, *results.controls):
        path = "/".join(part for part in (cell.attribute, cell.condition, cell.source) if part).replace("+", "-and-")
        over_seeds = spread([run.top1 for run in cell.runs])
        metrics[f"{path}/top1"] = over_seeds.mean
        if over_seeds.std is not None:
            metrics[f"{path}/top1_std"] = over_seeds.std
    for (attribute, feasibility), figures in results.measured.items():
        known = {name: float(value) for name, value in figures.items() if value is not None}
        metrics |= {f"data/{attribute}/{feasibility}/{name}": value for name, value in known.items()}
    settings = params.model_dump(mode="json", exclude={"tracking": {"register_model"}})  # it makes no other study
    return Entry(name=name, params=_texts(settings), metrics=metrics)


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
            cell.name, cell.attribute or "none", cell.condition or "none", cell.source, ratio, str(run.seed)
        ),
        metrics=metrics,
        curve=tuple({name.replace("_", "/", 1): value for name, value in look.items()} for look in run.curve),
        per_class=run.per_class,
    )


def _cell_params(cell: str, attribute: str, condition: str, source: str, ratio: str, seed: str) -> dict[str, str]:
    return {
        "cell": cell,
        "attribute": attribute,
        "condition": condition,
        "training_source": source,
        "ratio": ratio,
        "seed": seed,
    }


def _texts(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return settings by dotted keys as MLflow holds params."""
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in flat_settings(settings).items()}


def study_name(dataset: str, made: Provenance) -> str:
    """Return the name of a study's run: the data set, what differs from the committed settings, DVC's experiment.

    Such as ``rendered_aircraft · ratio 0.25 (ratio-0p25)``.
    """
    told = sorted(made.changed_settings, key=lambda key: (key != "mix.ratio", key))  # what is swept comes first
    changes = {key: made.changed_settings[key] for key in told if not key.startswith("watch.")}
    words = [f"{key.rsplit('.', 1)[-1]} {_short(value)}" for key, value in list(changes.items())[:MOST_CHANGES]]
    if len(changes) > MOST_CHANGES:
        words.append(f"{len(changes) - MOST_CHANGES} more changes")
    name = " · ".join([dataset, ", ".join(words)] if words else [dataset])
    return f"{name} ({made.experiment})" if made.experiment else name


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":")).replace('"', "")


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
        name=f"{sweep.dataset} · dose and response, ratios {', '.join(f'{ratio:g}' for ratio in ratios)}",
        params={"ratios": json.dumps(ratios), "photos": str(sweep.photos), "seeds": str(sweep.seeds)},
        metrics=metrics,
        curve=tuple(looks.values()),
    )


def sweep_note(sweep: DoseResponse, links: Mapping[str, str]) -> str:
    """Return the description of a sweep's run in Markdown: the trends, and the runs of its experiments."""
    lines = [dose_headline(sweep), "", "| curve | slope | 95 % interval | verdict |", "| --- | --- | --- | --- |"]
    for path, curve in dose_paths(sweep).items():
        lines.append(f"| {path} | {signed(curve.slope)} | {interval(curve)} | {curve.words} |")
    lines += ["", "Slopes are points of top-1 from all feasible to all infeasible. Experiments:", ""]
    lines += [f"* [{name}]({links[name]})" if name in links else f"* {name}" for name in sweep.experiments]
    return "\n".join(lines)
