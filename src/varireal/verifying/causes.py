"""Why outputs differ from a commit's, as far as dvc.lock tells: settings, code, inputs, or the machine."""

from __future__ import annotations

from typing import Any

from varireal.reporting.provenance import flat_settings

MACHINE = "the same code, settings and inputs: another CPU, or other versions of libraries"
CODE = ("src/", "models/demo/")  # what git keeps of what decides outputs
MOST = 3  # things that a line names


def causes(before: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    """Return for every stage whose outputs differ why, and the outputs.

    Args:
        before: stages as dvc.lock has them.
        now: the same of the other state; stages that one of them lacks are not compared.
    """
    found = {}
    for stage, state in now.items():
        other = before.get(stage)
        if other is not None and (outs := _unlike(other, state, "outs")):
            found[stage] = (_cause(other, state), outs)
    return found


def _cause(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return what differs in front of a stage; what comes first in this list explains what follows."""
    settings = [flat_settings(each.get("params", {}).get("params.yaml", {})) for each in (before, now)]
    changed = [key for key in settings[1] if settings[0].get(key) != settings[1][key]]
    deps = _unlike(before, now, "deps")
    code = [path for path in deps if path.startswith(CODE)]
    inputs = [path for path in deps if path not in code]
    for what, names in (("settings", changed), ("code", code), ("inputs", inputs)):
        if names:
            more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
            return f"other {what}: {', '.join(names[:MOST])}{more}"
    return MACHINE


def _unlike(before: dict[str, Any], now: dict[str, Any], kind: str) -> list[str]:
    hashes = [{each["path"]: each.get("md5") for each in state.get(kind, [])} for state in (before, now)]
    return [path for path, md5 in hashes[1].items() if hashes[0].get(path) != md5]
