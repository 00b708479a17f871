"""The pipeline's graph: commands, settings, outputs, and the code that each stage depends on."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from dvc.dependency import ParamsDependency
from dvc.repo import Repo
from dvc.repo.graph import build_graph
from dvc.repo.reproduce import plan_repro
from dvc.stage import PipelineStage

from varireal import paths
from varireal.cli import STAGES
from varireal.compute.pipeline import in_order, read_stages
from varireal.config import GridConfig, Params, load_params

REPOSITORY = Path(__file__).parents[1]
SOURCES = REPOSITORY / "src"
# folders that decide where, how fast and with which words a stage works, but none of its results
PLUMBING = ("varireal.compute", "varireal.config", "varireal.store")
# and modules beside them
PLUMBING_MODULES = {"varireal", "varireal.cli", "varireal.errors", "varireal.paths", "varireal.stages",
                    "varireal.tracking.register"}  # fmt: skip


def is_plumbing(module: str) -> bool:
    return module in PLUMBING_MODULES or any(module == part or module.startswith(f"{part}.") for part in PLUMBING)


@pytest.fixture(scope="module")
def stages() -> list[PipelineStage]:
    """The stages of the default pipeline, one per cell, as DVC resolves them."""
    with Repo(str(REPOSITORY)) as repo:
        return [stage for stage in repo.index.stages if Path(stage.path) == REPOSITORY / "dvc.yaml"]


def module_file(name: str) -> Path | None:
    """Return the file of a module of ours, or None."""
    base = SOURCES.joinpath(*name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a syntax tree without what only type checkers read."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from runtime_nodes(child)


@cache
def imported(name: str) -> frozenset[str]:
    """Return the modules of ours that a module imports anywhere, or names in a string for a worker process."""
    path = module_file(name)
    assert path is not None, name
    found: set[str] = set()
    for node in runtime_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(re.findall(r"^(varireal(?:\.\w+)+)(?::\w+)?$", node.value))
    return frozenset(module for module in found if module.startswith("varireal") and module_file(module))


def reached(name: str) -> set[str]:
    """Return every module of ours that running a module can execute, outside of the plumbing."""
    seen, todo = set(), [name]
    while todo:
        module = todo.pop()
        if module not in seen and not is_plumbing(module):
            seen.add(module)
            todo += imported(module)
    return seen


def command_of(stage: PipelineStage) -> str:
    return re.match(r"python -m varireal ([\w-]+)( .*)?$", stage.cmd).group(1)


def dependencies(stage: PipelineStage) -> list[Path]:
    return [Path(dep.fs_path) for dep in stage.deps if not isinstance(dep, ParamsDependency)]


def test_every_stage_of_the_command_is_in_the_graph_and_the_other_way_round(stages: list[PipelineStage]) -> None:
    assert {command_of(stage) for stage in stages} == set(STAGES)


def test_progress_counts_the_stages_in_the_order_in_which_dvc_runs_them(stages: list[PipelineStage]) -> None:
    settings = load_params(REPOSITORY / "params.yaml").model_dump(mode="json")
    counted = in_order(read_stages(REPOSITORY / "dvc.yaml", settings))
    assert counted == [stage.name for stage in plan_repro(build_graph(stages))]


def test_every_cell_of_the_grid_is_a_stage(stages: list[PipelineStage]) -> None:
    params = load_params(REPOSITORY / "params.yaml")
    names = {stage.name for stage in stages}
    for attribute in params.grid.attributes:
        assert {f"edit@{attribute}-{feasibility}" for feasibility in params.grid.feasibilities} <= names
        for condition in params.grid.conditions:
            assert {f"mix@{attribute}", f"train@{attribute}-{condition}"} <= names


def test_every_control_is_trained_by_a_stage_that_depends_on_nothing_of_the_others(stages: list[PipelineStage]) -> None:
    grid = load_params(REPOSITORY / "params.yaml").grid
    assert grid.control_cells() == [("background", name) for name in grid.controls]
    for attribute, control in grid.control_cells():
        train = next(s for s in stages if s.name == f"train_control@{attribute}-{control}")
        keys = {key for dep in train.deps if isinstance(dep, ParamsDependency) for key in dep.params}
        assert not keys & {"grid", "grid.controls", "grid.conditions", "mix", "mix.ratio"}
        assert REPOSITORY / paths.mix_folder(attribute, control) in dependencies(train)


def test_every_stage_depends_on_the_code_it_runs(stages: list[PipelineStage]) -> None:
    for stage in stages:
        files = {module_file(name) for name in reached(STAGES[command_of(stage)][0])}
        watched = dependencies(stage)
        missed = {
            path.relative_to(SOURCES).as_posix() for path in files if not any(path.is_relative_to(w) for w in watched)
        }
        assert not missed, f"{stage.name} runs code that it does not depend on: {sorted(missed)}"


def test_no_stage_depends_on_code_it_does_not_run(stages: list[PipelineStage]) -> None:
    for stage in stages:
        files = {module_file(name) for name in reached(STAGES[command_of(stage)][0])}
        for watched in dependencies(stage):
            if watched.is_relative_to(SOURCES):
                assert any(path.is_relative_to(watched) for path in files), f"{stage.name}: {watched} is not run"


def test_the_ratio_reaches_training_through_the_mixed_set_alone(stages: list[PipelineStage]) -> None:
    """What `mix` writes for the other conditions is the same at any ratio (tests/stages/test_mix.py)."""
    for stage in stages:
        keys = {key for dep in stage.deps if isinstance(dep, ParamsDependency) for key in dep.params}
        assert ("mix" in keys) == (command_of(stage) in ("mix", "report")), stage.name
        mixes = [path for path in dependencies(stage) if path.is_relative_to(REPOSITORY / paths.MIXES)]
        assert len(mixes) == (stage.name.startswith(("train@", "train_control@"))), stage.name
        assert all(path.name == stage.name.partition("-")[2] for path in mixes)


# whose outputs each section decides; `report` lists every section and so says nothing about the others
READERS = {
    "seed": {"prepare", "prompt", "edit", "measure", "mix", "train", "train_control", "train_real"},
    "dataset": {"prepare"},
    "prompt": {"prompt"},
    "segment": {"segment"},
    "edit": {"edit"},
    "filter": {"edit"},
    "mix": {"mix"},
    "clip": {"measure", "train", "train_control", "train_real", "evaluate"},
    "train": {"train", "train_control", "train_real"},  # evaluate reads the loss, which changes every adapter
    "evaluate": {"evaluate"},
    "measure": {"measure"},
}
# and sections that only `report` depends on as a whole
APART = {
    "compute": "where and how networks run; its dtype, which decides last bits, stands in the stages that read it",
    "report": "read by report alone",
    "settle": "read by a command; report says what was planned",
    "tracking": "names in MLflow, where report logs",
    "grid": "its lists stand in the stages that read them, as whole cells come and go with them",
    "watch": "names what stages depend on, beside their params",
}


def read_by(stage: PipelineStage) -> set[str]:
    return {key for dep in stage.deps if isinstance(dep, ParamsDependency) for key in dep.params}


def test_each_section_is_read_by_stages_or_stands_apart_for_a_reason() -> None:
    assert {*READERS, *APART} == set(Params.model_fields) and not READERS.keys() & APART.keys()


def test_the_report_says_how_all_results_were_made(stages: list[PipelineStage]) -> None:
    (report,) = (stage for stage in stages if stage.name == "report")
    assert read_by(report) == set(Params.model_fields)


@pytest.mark.parametrize("section", READERS)
def test_every_setting_makes_the_stages_stale_whose_outputs_it_decides(
    section: str, stages: list[PipelineStage]
) -> None:
    model = Params.model_fields[section].annotation
    fields = [f"{section}.{name}" for name in getattr(model, "model_fields", [])] or [section]
    assert READERS[section] <= {stage.name.partition("@")[0] for stage in stages}
    for stage in stages:
        if stage.name.partition("@")[0] in READERS[section]:
            keys = read_by(stage)
            cells = {".".join(key.split(".")[:2]) for key in keys if key.startswith("edit.recipes.")}  # one of six
            unread = [name for name in fields if not {section, name} & (keys | cells)]
            assert not unread, f"{stage.name} stays as it was when {', '.join(unread)} changes"


def test_every_list_of_the_grid_and_the_precision_are_read_by_a_stage_that_makes_results(
    stages: list[PipelineStage],
) -> None:
    keys = set().union(*(read_by(stage) for stage in stages if stage.name != "report"))
    assert {key for key in keys if key.startswith("grid.")} == {f"grid.{name}" for name in GridConfig.model_fields}
    assert "compute.dtype" in keys


def test_outputs_are_ignored_by_git_unless_they_are_committed_metrics(stages: list[PipelineStage]) -> None:
    outs = {Path(out.fs_path).relative_to(REPOSITORY).as_posix(): out.use_cache for s in stages for out in s.outs}
    cached = [path for path, use_cache in outs.items() if use_cache]
    done = subprocess.run(["git", "check-ignore", *cached], cwd=REPOSITORY, capture_output=True, text=True)
    assert set(done.stdout.splitlines()) == set(cached)
    committed = [path for path, use_cache in outs.items() if not use_cache]
    assert all(path.startswith("metrics/") for path in committed)
    done = subprocess.run(["git", "check-ignore", *committed], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout == ""


def test_dvc_is_told_of_one_small_file_of_metrics() -> None:
    with Repo(str(REPOSITORY)) as repo:
        assert [Path(out.fs_path).relative_to(REPOSITORY) for out in repo.index.metrics] == [paths.STUDY]
    # which DVC may pass over in the working folder, but not in revisions
    demo = yaml.safe_load((REPOSITORY / "models/demo/dvc.yaml").read_text())
    assert not any("metrics" in stage for stage in demo["stages"].values()) and "metrics" not in demo


def test_dvc_looks_into_no_cache_of_python() -> None:
    with Repo(str(REPOSITORY)) as repo:
        for path in ("src/varireal/__pycache__", ".work", ".venv", "mlartifacts"):
            assert repo.dvcignore.is_ignored_dir(str(REPOSITORY / path)), path


def test_dvc_sends_nothing_and_composes_with_hydra() -> None:
    with Repo(str(REPOSITORY)) as repo:
        assert not repo.config["core"].get("analytics", True)
        assert not repo.config["core"].get("check_update", True)
        assert repo.config["hydra"]["enabled"]
