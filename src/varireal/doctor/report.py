"""The doctor's findings, gathered and shown."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal.doctor.finding import Finding, readable_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from varireal.config import Params
    from varireal.datasets.base import Dataset
    from varireal.doctor.work import Work

MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "missing": "[red]missing[/]"}
SPARE = 1.1  # free disk that downloads should leave, as a factor


@dataclasses.dataclass(frozen=True)
class Examination:
    """All that was found; the data set and the work, where there is a data set."""

    findings: list[Finding]
    dataset: Dataset | None
    work: Work | None

    @property
    def missing(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.status == "missing"]

    def with_findings(self, more: Sequence[Finding]) -> Examination:
        """Return the same examination with further findings behind its own."""
        return dataclasses.replace(self, findings=[*self.findings, *more])


def examine(params: Params, folder: Path) -> Examination:
    """Look at everything that a run with these settings needs."""
    from varireal.doctor.checkpoints import look_for, used_checkpoints
    from varireal.doctor.hub import Hub
    from varireal.doctor.machine import machine
    from varireal.doctor.study import look_at_dataset, look_at_prompts
    from varireal.doctor.work import count_work, work_findings

    findings = machine(params.compute, folder)
    hub = Hub()
    checkpoints = [look_for(named, hub) for named in used_checkpoints(params)]
    findings += [*checkpoints, *_room_for_downloads(checkpoints)]
    found, dataset, photos = look_at_dataset(params)
    findings.append(found)
    if dataset is None:
        return Examination(findings, None, None)
    work = count_work(params, photos)
    findings += [look_at_prompts(params, dataset.classes), *work_findings(work)]
    return Examination(findings, dataset, work)


def _room_for_downloads(checkpoints: Sequence[Finding]) -> list[Finding]:
    """Compare what would be downloaded with the free disk of the hub's cache."""
    import shutil

    from huggingface_hub import constants

    by_name = {finding.found: finding.values["download_bytes"] for finding in checkpoints if "download_bytes" in
               finding.values}  # fmt: skip
    if not by_name:
        return []
    size = sum(by_name.values())
    cache = Path(constants.HF_HUB_CACHE)
    there = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(there).free
    found = f"{readable_bytes(size)} to download into {cache}, {readable_bytes(free)} free there"
    values = {"download_bytes": size, "free_bytes": free}
    if size * SPARE > free:
        return [Finding("checkpoints", "room", "missing", found, "free some, or set HF_HOME to a larger disk", values)]
    return [Finding("checkpoints", "room", "ok", found, values=values)]


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as JSON values."""
    return {
        "ready": all(finding.status != "missing" for finding in findings),
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }


def table(findings: Sequence[Finding]) -> Table:
    """Return the findings as a table, remedies below what they mend."""
    from rich.markup import escape
    from rich.table import Table

    shown = Table(show_lines=False)
    for name in ("", "what", "", "found"):
        shown.add_column(name, overflow="fold")
    for finding, following in zip(findings, [*findings[1:], None]):
        remedy = f"\n→ {escape(finding.remedy)}" if finding.remedy else ""
        shown.add_row(
            finding.part,
            escape(finding.name),
            MARKS[finding.status],
            escape(finding.found) + remedy,
            end_section=following is not None and following.part != finding.part,
        )
    return shown
