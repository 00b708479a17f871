"""The stages of dvc.yaml in the order in which DVC runs them, read without DVC: its index takes a second a process."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from varireal.base.files import named_os_errors

PLACE = re.compile(r"\$\{([\w.]+)\}")  # what DVC puts a setting or an item's axis in place of


@dataclasses.dataclass(frozen=True)
class PlannedStage:
    """A stage, or one cell of a stage with a matrix."""

    name: str  # as DVC has it, such as edit@color-feasible
    command: str  # of the program, such as edit
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]  # keys of params.yaml


def read_stages(pipeline: Path, settings: Mapping[str, Any], kept: Path | None = None) -> dict[str, PlannedStage]:
    """Return the stages of a dvc.yaml by their names, in its order, with what settings they name filled in.

    Args:
        kept: file in which :func:`keep_parsed` may have left what the dvc.yaml says.
    """
    stages: dict[str, PlannedStage] = {}
    for name, about in _parsed(pipeline, kept)["stages"].items():
        for suffix, item in _cells(about.get("matrix", {}), settings):
            values = {**settings, "item": item}
            stage = PlannedStage(
                name=name + suffix,
                command=_command(about.get("cmd")),
                deps=tuple(_filled(dep, values) for dep in about.get("deps", ())),
                outs=tuple(_paths(about, values)),
                params=tuple(_filled(key, values) for key in about.get("params", ()) if isinstance(key, str)),
            )
            stages[stage.name] = stage
    return stages


def keep_parsed(pipeline: Path, kept: Path) -> None:
    """Leave what a dvc.yaml says in a file that is read in a millisecond: to load a parser of YAML takes twenty."""
    if _kept(pipeline, kept) is None:
        with named_os_errors(kept):
            temporary = kept.with_suffix(".tmp")
            temporary.write_bytes(json.dumps([_state(pipeline), _parsed(pipeline, None)]).encode())
            temporary.replace(kept)


def _parsed(pipeline: Path, kept: Path | None) -> dict[str, Any]:
    if kept is not None and (parsed := _kept(pipeline, kept)) is not None:
        return parsed
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the file takes the other one a tenth of a second
    return yaml.load(pipeline.read_bytes(), loader)


def _kept(pipeline: Path, kept: Path) -> dict[str, Any] | None:
    """Return what was kept of a dvc.yaml, None if that is nothing, spoilt, or of an older one."""
    try:
        state, parsed = json.loads(kept.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return parsed if state == _state(pipeline) else None


def _state(path: Path) -> list[int]:
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


def _cells(matrix: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what a matrix adds to the stage's name, and the value of each axis, of every cell."""
    axes = {axis: _list(values, settings) for axis, values in matrix.items()}
    for values in itertools.product(*axes.values()):
        yield f"@{'-'.join(map(str, values))}" if axes else "", dict(zip(axes, values))


def _list(values: Any, settings: Mapping[str, Any]) -> Sequence[Any]:
    found = look_up(whole.group(1), settings) if (whole := PLACE.fullmatch(str(values))) else values
    return found if isinstance(found, list | tuple) else ()


def _filled(text: str, values: Mapping[str, Any]) -> str:
    return PLACE.sub(lambda place: str(look_up(place.group(1), values)), text)


def look_up(key: str, values: Mapping[str, Any]) -> Any:
    """Return the value of a dotted key; None where there is none, which DVC itself refuses."""
    found: Any = values
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _command(text: Any) -> str:
    words = str(text).split()
    return words[words.index("varireal") + 1] if "varireal" in words[:-1] else ""


def _paths(about: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("outs", "metrics", "plots"):
        for out in about.get(kind, ()):
            yield _filled(out if isinstance(out, str) else next(iter(out)), values)


def sources(stages: Mapping[str, PlannedStage]) -> dict[str, dict[str, list[str]]]:
    """Return, for each stage, the stages whose outputs it depends on, with the dependencies that lead to them."""
    makers: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}  # folder -> the stages that have outputs in it
    for name, stage in stages.items():
        for out in stage.outs:
            makers.setdefault(out, []).append(name)
            for folder in _folders(out):
                below.setdefault(folder, []).append(name)
    found: dict[str, dict[str, list[str]]] = {name: {} for name in stages}
    for name, stage in stages.items():
        for dep in stage.deps:
            above = [maker for path in (*_folders(dep), dep) for maker in makers.get(path, ())]
            for maker in [*above, *below.get(dep, ())]:
                deps = found[name].setdefault(maker, [])
                if dep not in deps:
                    deps.append(dep)
    return found


def _folders(path: str) -> Iterator[str]:
    """Yield the folders that a path lies in, the outermost first."""
    place = path.find("/", 1)
    while place > 0:
        yield path[:place]
        place = path.find("/", place + 1)


def in_order(stages: Mapping[str, PlannedStage], wanted: Sequence[str] = ()) -> list[str]:
    """Return the names in the order in which DVC runs them: each behind all that it depends on.

    Args:
        wanted: stages that are asked for, with what they depend on; none: all.
    """
    before = sources(stages)
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in seen:
            seen.add(name)
            for each in before[name]:
                visit(each)
            order[name] = None

    seen: set[str] = set()
    for name in wanted or stages:
        visit(name)
    return list(order)
