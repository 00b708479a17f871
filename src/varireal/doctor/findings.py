"""What the doctor says of one thing that it looked at, and how that is shown."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

from varireal.tables import Grid, Line, Styled, columns

if TYPE_CHECKING:
    from collections.abc import Sequence

Status = Literal["ok", "note", "missing"]  # a note needs no action; what is missing stops the pipeline
MARKS = {"ok": "green", "note": "yellow", "missing": "red"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and how to mend it."""

    part: str  # of the report: machine, checkpoints, data, prompts, work, doubts, disk
    name: str
    status: Status
    found: str
    remedy: str | None = None
    values: dict[str, Any] = dataclasses.field(default_factory=dict)  # the same as numbers, for --json


def readable_bytes(count: float) -> str:
    """Return a number of bytes in the unit that suits it: ``readable_bytes(5.1e9) == "5.1 GB"``."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"


def findings_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as JSON values."""
    return {
        "ready": all(finding.status != "missing" for finding in findings),
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }


def findings_grid(findings: Sequence[Finding]) -> Grid:
    """Return the findings as a table, remedies below what they mend."""
    lines = []
    for finding in findings:
        remedy = f"\n→ {finding.remedy}" if finding.remedy else ""
        mark = Styled(finding.status, MARKS[finding.status])
        lines.append(Line((finding.part, finding.name, mark, finding.found + remedy), section=finding.part))
    return Grid("", columns("", "what", "", "found", wrap="fold"), tuple(lines))
