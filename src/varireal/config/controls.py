"""Names of the controls: training sets whose effect is known beforehand, which show what a study can see.

``harm-20`` is the condition feasible with 20 % wrong labels among its edits. ``null-a`` and ``null-b`` are two draws of
one mixture of feasible and infeasible edits that differ by nothing but the draw.
"""

from __future__ import annotations

import re

NULLS = ("null-a", "null-b")
ALLOWED = f"harm-1 to harm-99 (percent of wrong labels), {' and '.join(NULLS)} (both or none)"
_HARM = re.compile(r"harm-([1-9]\d?)")


def dose(name: str) -> float | None:
    """Return the share of wrong labels that a control of harm has, None of any other name."""
    found = _HARM.fullmatch(name)
    return int(found.group(1)) / 100 if found else None


def is_control(name: str | None) -> bool:
    """Tell whether a cell's condition is a control's name."""
    return name is not None and (name in NULLS or dose(name) is not None)
