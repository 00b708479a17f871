"""`varireal clean-work` on a finished tiny study: what it frees is never missed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.tiny_study import CELLS, change, make_study, run_stages

from varireal.cli import main

pytestmark = pytest.mark.slow

CONDITION = ["--attribute", "color", "--condition", "infeasible"]
TRAINED = [["train", "--real-only"], ["train", *CONDITION]]
MADE = ("edit", "train", "evaluate", "measure")
EDITED = [["edit", *cell] for cell in CELLS]
STAGES = [["segment"], *EDITED, ["mix", *CONDITION[:2]], ["measure"], *TRAINED, ["evaluate"]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Path:
    """A study that has run up to `evaluate` with one setting and then another one."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        make_study(tiny_clip)
        change(grid__conditions=["infeasible"], grid__sources=["synthetic"], mix__include_exhausted=True)
        change(
            filter={"name": "clip", "model": f"local-dir:{tiny_clip}", "attribute_threshold": 1.0, "max_attempts": 2}
        )
        run_stages([["prepare"], ["prompt"], *STAGES])
        change(edit__recipes__color__infeasible__alpha=0.5, train__learning_rate=0.5)
        run_stages(STAGES)
    return folder


@pytest.fixture
def study(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(shutil.copytree(finished, tmp_path / "study"))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return folder


def items() -> set[Path]:
    return set(Path(".work").glob("*/*/*"))


def count(store: str) -> int:
    return len(list(Path(".work").glob(f"{store}/*/*")))


def pictures() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path("data/edits").rglob("*.png")}


def clean(*options: str) -> str:
    result = CliRunner().invoke(main, ["clean-work", "--older-than", "0", *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_what_is_freed_is_not_made_again_by_any_stage(study: Path) -> None:
    before, counts = items(), {name: count(name) for name in MADE}
    assert "can be freed" in clean() and items() == before
    assert clean("--yes").splitlines()[-1].startswith("Freed ")
    # 18 edits of a cell, each tried twice, in 5 batches; real photos and one cell are trained on, and predicted with
    # beside plain CLIP
    assert counts == {"edit": 30, "train": 4, "evaluate": 5, "measure": 5}
    assert {name: count(name) for name in MADE} == {"edit": 20, "train": 2, "evaluate": 3, "measure": 4}
    after, edits = items(), pictures()
    run_stages(STAGES)
    assert items() == after
    assert pictures() == edits and sum("attempts" in path.parts for path in edits) == 2 * 18
    assert clean().splitlines()[-1] == "Nothing is to be freed."


def test_leftovers_of_killed_runs_go_and_what_is_young_stays(study: Path) -> None:
    before = items()
    kind = next(Path(".work/edit").iterdir())
    (kind / ".new-abc").mkdir()
    (kind / ".new-abc" / "half").write_bytes(b"1")
    (kind / ".half.tmp").write_bytes(b"2")
    unfinished = Path(".work/train-unfinished/aa/aabb/checkpoint.safetensors")
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(b"3")
    half = Path("data/edits/color/.feasible.abc.tmp")
    half.mkdir()
    (half / "a.png").write_bytes(b"4")
    result = CliRunner().invoke(main, ["clean-work", "--yes"])
    assert result.exit_code == 0 and "Nothing is to be freed" in result.output
    assert len(items()) == len(before) + 3
    for path in (*kind.iterdir(), unfinished.parent, half):
        os.utime(path, (0, 0))
    result = CliRunner().invoke(main, ["clean-work", "--yes"])
    assert "Freed" in result.output and items() - before == set() and not half.exists()


def test_where_needs_cannot_be_told_a_store_is_kept_whole(study: Path) -> None:
    shutil.rmtree("data/mixes")
    shutil.rmtree("models/adapters")
    Path(".work/elsewhere/ab/cd").mkdir(parents=True)
    kept = {name: set(Path(".work").glob(f"{name}/*/*")) for name in ("train", "evaluate", "elsewhere")}
    output = clean("--yes")
    assert {name: set(Path(".work").glob(f"{name}/*/*")) for name in kept} == kept
    assert output.count("kept whole: what is needed cannot be told") == 2
    assert "kept whole: not a store of this version" in output
