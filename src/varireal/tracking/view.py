"""What a person sees first in MLflow's pages: a prepared comparison of the cells, and descriptions that lead there.

MLflow's pages keep a shared view (filter, groups, charts) as a tag of the experiment and open it by its key; the tag
written here holds one for every study.
"""

from __future__ import annotations

import json
from urllib.parse import quote

VIEW = "mlflow.sharedViewState."  # tag of an experiment, with the view's key behind it
KEY_LENGTH = 16
MOST_LINKS = 12  # of a description
MARK = "Compare the cells of "  # starts a description that may be written anew; another is somebody's own
SEPARATOR = " | "  # between links
WORKFLOW = "workflowType=machine_learning"  # MLflow's pages open with those for language models unless told


def view_key(study: str) -> str:
    """Return the key of a study's prepared view."""
    return study[:KEY_LENGTH]


def cells_view(study: str) -> str:
    """Return the prepared view as MLflow's pages store it: the cells' top-1 as bars, each the mean over its seeds.

    Args:
        study: the value of the tag that the study's runs share.
    """
    charts = [
        ("test/top1", "Top-1 on test (%), mean over seeds"),
        ("val/best_top1", "Top-1 on val (%), mean over seeds"),
    ]
    return json.dumps(
        {
            "searchFilter": f"tags.`varireal.study` = '{study}' and params.cell != 'none'",
            "orderByKey": "params.`cell`",
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "selectedColumns": ["metrics.`test/top1`", "params.`cell`", "params.`seed`"],
            "runsExpanded": {},
            "runsPinned": [],
            "runsHidden": [],
            "runsVisibilityMap": {},
            "runsHiddenMode": "SHOWALL",
            "compareRunCharts": [
                {"type": "BAR", "uuid": metric, "metricKey": metric, "metricSectionId": "accuracy", "deleted": False,
                 "isGenerated": False, "runsCountToCompare": 100, "displayName": title}
                for metric, title in charts
            ],
            "compareRunSections": [
                {"uuid": "accuracy", "name": "The comparison", "display": True, "isReordered": False, "columns": 1,
                 "cardHeight": 620}
            ],
            "viewMaximized": False,
            "runListHidden": True,
            "isAccordionReordered": True,
            "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": "cell"}]},
            "groupsExpanded": {},
            "autoRefreshEnabled": False,
            "useGroupedValuesInCharts": True,
            "hideEmptyCharts": True,
            "globalLineChartConfig": {},
            "chartsSearchFilter": "",
        },
        separators=(",", ":"),
    )  # fmt: skip


def view_link(experiment_id: str, study: str) -> str:
    """Return the address of the prepared view within MLflow's pages."""
    return (
        f"#/experiments/{experiment_id}/runs?{WORKFLOW}&compareRunsMode=CHART"
        f"&viewStateShareKey={quote(view_key(study))}"
    )


def run_link(experiment_id: str, run_id: str) -> str:
    """Return the address of a run within MLflow's pages."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{WORKFLOW}"


def study_note(summary: str, link: str) -> str:
    """Return the description of a study's run in Markdown: the way to the comparison, then what came out."""
    end = "Figures, sheets of edits and the page are artifacts of this run."
    return f"**[Compare the cells]({link})**\n\n{summary}\n{end}"


def experiment_note(old: str | None, name: str, link: str) -> str | None:
    """Return the description of an experiment with a link to one more study or sweep, the latest first.

    It is one line: MLflow's pages show the first line of a description, and more only when asked.

    Args:
        old: the description that is there; one that somebody else wrote is kept: then None is returned.
        name: of the run, which its link shows; an earlier link of that name gives way.
        link: where it leads.
    """
    if old is not None and not old.startswith(MARK):
        return None
    there = (old or MARK).removeprefix(MARK).split(SEPARATOR)
    kept = [each for each in there if each and not each.startswith(f"[{name}](")]
    return MARK + SEPARATOR.join([f"[{name}]({link})", *kept][:MOST_LINKS])
