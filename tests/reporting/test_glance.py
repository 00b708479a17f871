"""The metrics that DVC is told of: what they say, and that DVC's own tables of them fit a screen."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.compare import diff_table, metrics_table
from dvc.repo.metrics.diff import _diff

from varireal import paths
from varireal.base.manifest import ATTRIBUTES
from varireal.config import Params, load_params
from varireal.evaluation.comparisons import Verdict, comparisons, grid_models, judge, right_answers
from varireal.evaluation.predictions import read_predictions
from varireal.reporting.glance import study_figures, study_yaml
from varireal.reporting.results import read_results
from varireal.reporting.table import Row, build_rows

SCREEN = 120
# top-1 of a cell is 50 alone and 70 with real photos, 3 less for infeasible, and one more as the mean of two seeds
COLOR = """\
top-1     alone +real
feasible   51.0  71.0
infeasible 48.0  68.0
mixed 0.5  51.0  71.0
"""


@dataclasses.dataclass(frozen=True)
class Study:
    """What the figures are made of."""

    params: Params
    rows: list[Row]
    verdicts: list[Verdict]

    def figures(self, **grid: Any) -> dict[str, Any]:
        """Return the figures of a part of the grid, or of another ratio."""
        ratio = grid.pop("ratio", self.params.mix.ratio)
        update = {"grid": self.params.grid.model_copy(update=grid),
                  "mix": self.params.mix.model_copy(update={"ratio": ratio})}  # fmt: skip
        return study_figures(self.rows, self.verdicts, self.params.model_copy(update=update))


@pytest.fixture
def study(finished_study: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setattr("varireal.evaluation.comparisons.DRAWS", 100)  # no figure here is of the bootstrap
    params = load_params(finished_study / paths.PARAMS)
    right = right_answers(read_predictions(paths.PREDICTIONS, grid_models(params.grid)), params.grid)
    verdicts = judge(comparisons(params.grid), right, 0.3, seed=0)
    return Study(params, build_rows(read_results(params.grid)), verdicts)


@pytest.fixture
def three(study: Study) -> Study:
    """All attributes, as the default study has them: the background is another color."""
    colors = [row for row in study.rows if row.attribute == "color"]
    rows = [*study.rows, *(dataclasses.replace(row, attribute="background") for row in colors)]
    grid = study.params.grid.model_copy(update={"attributes": list(ATTRIBUTES)})
    return Study(study.params.model_copy(update={"grid": grid}), rows, study.verdicts)


def test_baselines_and_bounds_are_numbers_and_an_attribute_is_a_block(study: Study) -> None:
    figures = study.figures()
    assert list(figures) == ["zero_shot", "real", "bound", "color", "texture"]
    assert (figures["zero_shot"], figures["real"]) == (30.0, 61.0)
    told = study.verdicts[0].family_bound
    assert told is not None and 0 <= figures["bound"] - told < 0.1  # rounded up, so that it still holds
    assert figures["color"].startswith(COLOR)


def test_the_last_lines_of_a_block_bound_its_own_comparisons(study: Study) -> None:
    lines = study.figures()["texture"].splitlines()[-2:]
    assert [line[:9].strip() for line in lines] == ["differ <", "gain <"]
    for line, family in zip(lines, ("feasibility", "gain")):
        for text, source in zip(line[9:].split(), ("synthetic", "real+synthetic"), strict=True):
            own = [v for v in study.verdicts if v.comparison.family == family and v.comparison.first.source == source
                   and v.comparison.first.attribute == "texture"]  # fmt: skip
            assert len(own) == 3 and own[0].family_bound is not None
            largest = min(max(v.bound for v in own if v.bound is not None), own[0].family_bound)
            assert largest <= float(text) < largest + 0.1
            assert all(abs(v.difference.mean) < float(text) for v in own)


def test_a_block_has_the_lines_and_columns_of_its_grid(study: Study) -> None:
    figures = study.figures(attributes=["texture"], conditions=["mixed"], sources=["real+synthetic"], ratio=0.125)
    assert "color" not in figures
    assert figures["texture"].splitlines()[:2] == ["top-1      +real", "mixed 0.125 71.0"]


def test_one_seed_bounds_nothing(study: Study) -> None:
    without = [dataclasses.replace(v, bound=None, family_bound=None) for v in study.verdicts]
    figures = dataclasses.replace(study, verdicts=without).figures()
    assert list(figures) == ["zero_shot", "real", "color", "texture"]
    assert figures["color"] == COLOR.rstrip()


def test_lines_have_one_length_whatever_the_figures(study: Study) -> None:
    everything = [dataclasses.replace(row, top1=dataclasses.replace(row.top1, mean=100.0)) for row in study.rows]
    nothing = [dataclasses.replace(row, top1=dataclasses.replace(row.top1, mean=0.0)) for row in study.rows]
    for rows in (everything, nothing, study.rows):
        for ratio in (0.0, 0.25, 1 / 3):
            block = dataclasses.replace(study, rows=rows).figures(ratio=ratio)["color"]
            assert len({len(line) for line in block.splitlines()}) == 1 and block == block.strip(), block
    assert "feasible    100   100" in dataclasses.replace(study, rows=everything).figures()["color"]


def test_the_file_shows_blocks_as_they_are_and_reads_back(study: Study) -> None:
    figures = study.figures()
    text = study_yaml(figures)
    assert yaml.safe_load(text) == figures
    assert text.startswith("zero_shot: 30.0\nreal: 61.0\nbound: ")
    assert "\ncolor: |-\n  top-1     alone +real\n  feasible   51.0  71.0\n" in text


def test_metrics_show_and_diff_fit_a_screen_and_show_two_ratios(three: Study, capsys: pytest.CaptureFixture) -> None:
    first, second = three.figures(), three.figures(ratio=0.25)
    named = {name: {"data": {"metrics/study.yaml": {"data": each}}} for name, each in (("HEAD", first), ("", second))}
    metrics_table({"": named[""]}, round_digits=True, precision=5).render()
    shown = capsys.readouterr().out.splitlines()
    assert max(map(len, shown)) <= SCREEN
    assert shown[0].split() == ["Path", "background", "bound", "color", "real", "texture", "zero_shot"]
    assert sum(line.count("mixed 0.25") for line in shown) == 3
    diff_table(_diff(named, "HEAD", "")["diff"], "Metric", round_digits=True, precision=5, b_rev="ratio-0p25").render()
    shown = capsys.readouterr().out.splitlines()
    assert max(map(len, shown)) <= SCREEN and len(shown) < 20
    assert sum("mixed 0.5 " in line and "mixed 0.25" in line for line in shown) == 3
    assert sum(line.count("infeasible 48.0  68.0") for line in shown) == 6


def test_experiments_side_by_side_fit_a_screen(
    three: Study, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import datetime

    from dvc.commands.experiments.show import show_experiments
    from dvc.repo.experiments.serialize import ExpDep, ExpRange, ExpState, SerializableExp
    from dvc.repo.experiments.show import tabulate
    from dvc.ui import ui

    def state(rev: str, name: str | None, ratio: float) -> ExpState:
        figures = three.figures(ratio=ratio) | {"bound": 17.5 + ratio}
        params = three.params.model_dump(mode="json") | {"mix": {"ratio": ratio}}
        deps = {"data/mixes/color/mixed": ExpDep(f"{ratio}" * 8, 1, 1)}
        found = {"metrics": {str(paths.STUDY): {"data": figures}}, "params": {"params.yaml": {"data": params}}}
        return ExpState(rev, name, SerializableExp(rev, datetime(2026, 1, 1), deps=deps, **found))

    experiments = [ExpRange([state(str(k) * 40, f"ratio-0p{ratio}", ratio / 100)]) for k, ratio in enumerate((25, 75))]
    table, headers = tabulate([dataclasses.replace(state("a" * 40, "main", 0.5), experiments=experiments)], precision=5)
    documented = (Path(__file__).parents[2] / "docs/experiments.md").read_text()
    drop = documented.split("dvc exp show --only-changed --drop '")[1].split("'")[0]
    monkeypatch.setattr(ui, "_enabled", True)
    show_experiments(table, headers, drop=[drop], only_changed=True, pager=True)
    shown = capsys.readouterr().out.splitlines()
    assert max(map(len, shown)) <= SCREEN, shown
    assert (
        shown[1].split() == ["Experiment", "bound", "background", "color", "texture", "mix.ratio"] or shown[1].split()
    )
    for ratio in ("0.25", "0.5 ", "0.75"):
        assert sum(line.count(f"mixed {ratio}") for line in shown) == 3, shown
