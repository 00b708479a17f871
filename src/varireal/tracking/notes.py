"""What MLflow's pages show as descriptions: of a study's run, of a sweep's, and of the experiment that holds them."""

from __future__ import annotations

from collections.abc import Mapping

from varireal.reporting.across import Across, lines
from varireal.reporting.dose import DoseResponse, dose_headline, dose_paths, interval
from varireal.reporting.words import signed

MOST_LINKS = 12  # of a description
# start descriptions that may be written anew, those of version 0.1 too; another is somebody's own
LEADS = "Compare [all studies]("
MARKS = (LEADS, "Compare the cells of ")
CELLS = "the cells of "  # stands before the links to studies
SEPARATOR = " | "  # between links


def study_note(summary: str, cells: str, studies: str, figure: str | None) -> str:
    """Return the description of a study's run in Markdown: the verdict, where to look on, the intervals as a figure.

    MLflow's pages fold what is higher than 100 pixels and let it fade out, so there is no more than that.

    Args:
        summary: in Markdown, an answer a point, the study's own question first; the rest of it is an artifact.
        cells: link to the comparison of the study's cells.
        studies: link to the comparison of all studies.
        figure: the address of a low picture.
    """
    verdict = next((line.removeprefix("* ") for line in summary.splitlines() if line.startswith("* ")), "")
    first = f"{verdict} Compare **[cells]({cells})** or **[studies]({studies})**".strip()
    return f"{first}  \n![Feasible minus infeasible, with intervals]({figure})" if figure else first


def experiment_note(old: str | None, studies: str, name: str, link: str, replaced: str | None = None) -> str | None:
    """Return the description of an experiment with a link to one more study or sweep, the latest first.

    It is one line: MLflow's pages show the first line of a description, and more only when asked.

    Args:
        old: the description that is there; one that somebody else wrote is kept: then None is returned.
        studies: where the comparison of all studies lies.
        name: of the run, which its link shows.
        link: where it leads; an earlier link to the same place gives way, whatever its name was.
        replaced: another link that gives way.
    """
    if old is not None and not old.startswith(MARKS):
        return None
    there = (old or "").partition(CELLS)[2].split(SEPARATOR)
    kept = [each for each in there if each and not each.endswith((f"]({link})", f"]({replaced})"))]
    return f"{LEADS}{studies}), {CELLS}" + SEPARATOR.join([f"[{name}]({link})", *kept][:MOST_LINKS])


def sweep_note(sweep: DoseResponse, links: Mapping[str, str]) -> str:
    """Return the description of a sweep's run in Markdown: the trends, and the runs of its experiments."""
    lines = [dose_headline(sweep), "", "| curve | slope | 95 % interval | verdict |", "| --- | --- | --- | --- |"]
    for path, curve in dose_paths(sweep).items():
        lines.append(f"| {path} | {signed(curve.slope)} | {interval(curve)} | {curve.words} |")
    lines += ["", "Slopes are points of top-1 from all feasible to all infeasible. Experiments:", ""]
    lines += [f"* [{name}]({links[name]})" if name in links else f"* {name}" for name in sweep.experiments]
    return "\n".join(lines)


def across_note(across: Across, links: Mapping[str, str]) -> str:
    """Return the description of studies side by side in Markdown: what they say together, and their runs."""
    told = [*(f"* {line}" for line in lines(across)), "", "Studies:", ""]
    for side in across.sides:
        name = side.study.name
        told.append(f"* {side.label}: {f'[{name}]({links[name]})' if name in links else name}")
    return "\n".join(told)
