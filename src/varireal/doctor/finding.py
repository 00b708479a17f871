"""One thing that the doctor looked at."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

Status = Literal["ok", "note", "missing"]  # a note needs no action; what is missing stops the pipeline


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and how to mend it."""

    part: str  # of the report: machine, checkpoints, data, prompts, work, disk
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
