"""The comparisons that are prepared in MLflow's pages, and the addresses that open them.

MLflow's pages keep a shared view (filter, groups, charts) as a tag of the experiment and open it by its key; a tag
holds the cells of one study, another all studies side by side. A chart's key is what MLflow writes beside it, its
access key the figure that is drawn. It draws runs from the last to the first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

VIEW = "mlflow.sharedViewState."  # tag of an experiment, with the view's key behind it
KEY_LENGTH = 16
ALL_STUDIES = "studies"  # key of the view with a bar for every study
WORKFLOW = "workflowType=machine_learning"  # MLflow's pages open with those for language models unless told
# by what a model was trained on, so that the same colour means the same in every study; of the first that fits
COLOURS = {"feasible": "#1668b8", "infeasible": "#c4471d", "mixed": "#8250df", "none": "#6e7781"}
COLOUR_OF_CONTROLS = "#9a6700"
COLOURS_TOLD = "feasible blue, infeasible red, mixed violet, controls brown"
STUDY_COLOURS = ("#1668b8", "#e08a00", "#1a7f37", "#8250df", "#c4471d", "#0598a8", "#b5179e", "#6e7781")


def view_key(study: str) -> str:
    """Return the key of the view that holds a study's cells."""
    return study[:KEY_LENGTH]


def cells_view(study: str) -> str:
    """Return the comparison of a study's cells as MLflow's pages store it: a named place each, a dot for every seed.

    Args:
        study: the value of the tag that the study's runs share.
    """
    charts = [
        {"type": "SCATTER", "uuid": metric, "xaxis": {"key": "cell", "type": "PARAM"},
         "yaxis": {"key": f"{title}: {COLOURS_TOLD}", "type": "METRIC", "dataAccessKey": metric}}
        for metric, title in (("test/top1", "top-1 on test (%)"), ("val/best_top1", "top-1 on val (%)"))
    ]  # fmt: skip
    wanted = f"tags.`varireal.study` = '{study}' and params.cell != 'none'"
    return _view(wanted, "params.`cell`", "The cells, a dot for every seed", charts, columns=1, height=560)


def studies_view(metrics: Sequence[str]) -> str:
    """Return the comparison of all studies as MLflow's pages store it: a chart for every cell, a bar for every study.

    Args:
        metrics: of a study's run, in the order of the charts.
    """
    charts = [{"type": "BAR", "uuid": name, "metricKey": cell_of(name), "dataAccessKey": name} for name in metrics]
    wanted = "tags.`varireal.cell` = 'study'"
    return _view(wanted, "params.`mix.ratio`", "Top-1 on test (%) of every study", charts, columns=3, height=250)


def cell_of(metric: str) -> str:
    """Return the cell that a metric of a study's run tells of, for a narrow chart: ``bg infeasible +r``."""
    attribute, condition, source, _ = metric.split("/")
    told = " +r" if source == "real-and-synthetic" else ""
    return f"{attribute.replace('background', 'bg')} {condition}{told}"


def compared_metrics(view: str) -> list[str]:
    """Return the metrics that a comparison of all studies has charts of."""
    return [chart["dataAccessKey"] for chart in json.loads(view)["compareRunCharts"]]


def _view(wanted: str, order: str, title: str, charts: Sequence[dict[str, Any]], *, columns: int, height: int) -> str:
    """Return a view without groups, with one section of charts and all runs shown."""
    fixed = {"metricSectionId": "section", "deleted": False, "isGenerated": False, "runsCountToCompare": 100}
    return json.dumps(
        {
            "searchFilter": wanted,
            "orderByKey": order,
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "selectedColumns": ["metrics.`test/top1`", "params.`cell`", "params.`seed`", "params.`mix.ratio`"],
            "runsExpanded": {},
            "runsPinned": [],
            "runsHidden": [],
            "runsVisibilityMap": {},
            "runsHiddenMode": "SHOWALL",
            "compareRunCharts": [{**chart, **fixed} for chart in charts],
            "compareRunSections": [
                {"uuid": "section", "name": title, "display": True, "isReordered": False, "columns": columns,
                 "cardHeight": height}
            ],
            "viewMaximized": False,
            "runListHidden": True,
            "isAccordionReordered": True,
            "groupBy": None,
            "groupsExpanded": {},
            "autoRefreshEnabled": False,
            "useGroupedValuesInCharts": False,
            "hideEmptyCharts": True,
            "globalLineChartConfig": {},
            "chartsSearchFilter": "",
        },
        separators=(",", ":"),
    )  # fmt: skip


def view_link(experiment_id: str, key: str) -> str:
    """Return the address of a prepared view within MLflow's pages."""
    return f"#/experiments/{experiment_id}/runs?{WORKFLOW}&compareRunsMode=CHART&viewStateShareKey={quote(key)}"


def run_link(experiment_id: str, run_id: str) -> str:
    """Return the address of a run within MLflow's pages."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{WORKFLOW}"


def artifact_link(run_id: str, path: str) -> str:
    """Return the address of a run's file within MLflow's pages."""
    return f"get-artifact?path={quote(path, safe='')}&run_uuid={run_id}"
