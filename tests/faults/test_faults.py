"""Stages under faults, drawn by seed: after a rerun nothing is lost, doubled or half-written, and every byte is right.

Some runs belong to the tests; `VARIREAL_FAULT_RUNS=300 pytest tests/faults` does more of the same.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.forks import Ended, Forks, forks
from tests.faults.injection import KILLED, KILLS, KINDS, Fault
from tests.prompts.llm.server import FakeEndpoint
from tests.tiny_study import CELLS, change, make_study

from varireal.base.seeding import generator
from varireal.store import BatchStore
from varireal.store.batches import item_keys

pytestmark = pytest.mark.faults

RUNS = int(os.environ.get("VARIREAL_FAULT_RUNS", "15"))
CONDITION = ["--attribute", "color", "--condition", "mixed"]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage under test: its command, what it writes, and where it keeps what is finished."""

    command: tuple[str, ...]
    outputs: tuple[str, ...]
    stores: tuple[str, ...] = ()
    weight: int = 1  # how often it is drawn


STAGES = [
    Stage(("prepare",), ("data/prepared",)),
    Stage(("prompt",), ("data/prompts/prompts.json",), ("prompt",), 2),
    Stage(("segment",), ("data/segmented", "metrics/segment.json"), ("segment",), 2),
    *(
        Stage(("edit", *cell), (f"data/edits/color/{cell[-1]}", f"metrics/edit/color_{cell[-1]}.json"),
              ("edit", "verdict"), 3)
        for cell in CELLS
    ),
    Stage(("mix", *CONDITION[:2]), ("data/mixes/color", "metrics/mix/color.json")),
    Stage(("measure",), ("metrics/measure.json",), ("measure",)),
    Stage(("train", "--real-only"), ("models/adapters/real", "metrics/train/real.json"),
          ("train", "train-unfinished", "pixels-*")),
    Stage(("train", *CONDITION), ("models/adapters/color_mixed", "metrics/train/color_mixed.json"),
          ("train", "train-unfinished", "pixels-*"), 2),
    Stage(("evaluate",), ("data/predictions", "metrics/evaluate.json", "metrics/plots/confusion.csv"), ("evaluate",)),
    Stage(("report",), ("reports/index.html", "reports/summary.md", "metrics/table.json", "metrics/table.csv",
                        "metrics/verdicts.json", "metrics/plots/curves.csv"), weight=2),
]  # fmt: skip


def files(*places: str) -> dict[str, bytes]:
    """Return the content of every file at or below some places."""
    found = [path for place in places for root in sorted(Path().glob(place)) for path in [root, *root.rglob("*")]]
    return {path.as_posix(): path.read_bytes() for path in found if path.is_file()}


def remove(*places: str) -> None:
    for place in places:
        for path in Path().glob(place):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def finished(stage: Stage) -> dict[str, tuple[int, bytes]]:
    """Return when each file of the stage's finished items was written, and what it holds."""
    found = {}
    for store in stage.stores:
        for path in Path(".work").glob(f"{store}/*/[!.]*"):
            for file in [path] if path.is_file() else sorted(path.iterdir()):
                found[file.as_posix()] = (file.stat().st_mtime_ns, file.read_bytes())
    return found


@dataclasses.dataclass
class Laboratory:
    """A tiny study that has run undisturbed, what each stage wrote, and how often it passed each point."""

    forks: Forks
    expected: dict[Stage, dict[str, bytes]]
    calls: dict[Stage, dict[str, int]]
    runs: int  # of MLflow

    def run(self, stage: Stage, fault: Fault | None = None) -> Ended:
        return self.forks.run(stage.command, fault)

    def put_right(self, stage: Stage) -> None:
        """Take what the stage wrote and kept away, as DVC does with outputs, and restore those of all others."""
        for other, expected in self.expected.items():
            if other is stage or files(*other.outputs) != expected:
                remove(*other.outputs)
                for path, data in expected.items() if other is not stage else ():
                    Path(path).parent.mkdir(parents=True, exist_ok=True)
                    Path(path).write_bytes(data)
        remove(*(f".work/{store}" for store in stage.stores))


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path, empty_store: Path) -> Iterator[Laboratory]:
    folder = tmp_path_factory.mktemp("laboratory")
    server = FakeEndpoint()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        patch.setenv("NO_PROXY", "127.0.0.1")
        for name in ("DVC_EXP_NAME", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "OPENAI_API_KEY"):
            patch.delenv(name, raising=False)
        make_study(tiny_clip)
        shutil.copy(empty_store, "mlflow.db")
        counts = {attribute: {"feasible": 3, "infeasible": 3} for attribute in ("background", "color", "texture")}
        llm = {"model": "m", "base_url": server.url, "counts": counts, "min_wait": 0.01, "max_attempts": 2}
        change(prompt__source="openai", prompt__llm=llm, grid__conditions=["mixed"], grid__sources=["synthetic"])
        change(train__checkpoint_every=1)
        clip = {"name": "clip", "model": f"local-dir:{tiny_clip}", "attribute_threshold": 1.0, "max_attempts": 2}
        change(filter=clip, mix__include_exhausted=True)  # every edit is tried twice, and both pictures are kept
        with forks(tmp_path_factory.mktemp("printed")) as process:
            made = Laboratory(process, {}, {}, 0)
            for stage in STAGES:
                ended = made.run(stage)
                assert ended.code == 0, ended.output
                made.expected[stage], made.calls[stage] = files(*stage.outputs), ended.calls
            made.runs = logged_runs()
            yield made
    server.shutdown()
    server.server_close()


def logged_runs() -> int:
    """Return how many runs MLflow has; all of them must be finished."""
    with sqlite3.connect("mlflow.db") as store:
        rows = store.execute("select status from runs where lifecycle_stage = 'active'").fetchall()
    assert {status for (status,) in rows} == {"FINISHED"}
    return len(rows)


def test_every_point_lies_on_the_way_of_a_stage(laboratory: Laboratory) -> None:
    passed = {point for calls in laboratory.calls.values() for point in calls}
    assert passed == set(KINDS)


@pytest.mark.parametrize("number", range(RUNS))
def test_a_stage_that_failed_and_ran_again_leaves_what_an_undisturbed_one_leaves(
    laboratory: Laboratory, number: int
) -> None:
    rng = generator("faults", number)
    drawn = [stage for stage in STAGES for _ in range(stage.weight)]
    stage = drawn[int(rng.integers(len(drawn)))]
    laboratory.put_right(stage)
    kept: dict[str, tuple[int, bytes]] = {}
    for _ in range(int(rng.integers(1, 3))):
        points = sorted(laboratory.calls[stage])
        point = points[int(rng.integers(len(points)))]
        call = int(rng.integers(1, laboratory.calls[stage][point] + 1))
        fault = Fault(point, call, KINDS[point][int(rng.integers(len(KINDS[point])))])
        ended = laboratory.run(stage, fault)
        check_end(fault, ended)
        expected = laboratory.expected[stage]
        for path, data in files(*stage.outputs).items():
            assert expected.get(path) == data, f"{path} is half-written after {fault} in {stage.command}"
        now = finished(stage)
        assert {path: now.get(path) for path in kept} == kept, f"{fault} lost or doubled what was finished"
        kept = now if not stage.command[0].startswith("train") else {
            path: item for path, item in now.items() if "unfinished" not in path
        }  # fmt: skip
        check_packs()
    # a first try may have logged so much that MLflow is not asked as often again
    lost = fault.kind == "lost_mlflow" and ended.calls.get("mlflow", 0) >= fault.call
    if stage.command == ("report",) and lost:  # all but the log is there
        assert ended.code == 0 and ended.output.count("MLflow was not used") == 1
        stage = dataclasses.replace(stage, command=("track", "--resend"))
    ended = laboratory.run(stage)
    assert ended.code == 0, f"after {fault}: {ended.output}"
    assert files(*stage.outputs) == expected, f"after {fault} in {stage.command}"
    now = finished(stage)
    assert {path: now.get(path) for path in kept} == kept, f"the run after {fault} did again what was finished"
    assert not list(Path(".work").glob("train-unfinished/*/*"))
    if stage.command[0] in ("report", "track"):
        assert logged_runs() == laboratory.runs


@pytest.mark.parametrize(("command", "times"), [("segment", 2), ("edit", 3), ("train", 1)])
def test_two_runs_at_once_in_one_folder_leave_what_one_leaves(laboratory: Laboratory, command: str, times: int) -> None:
    """As when dvc was killed, which leaves its stage alone, and is called again."""
    stage = next(stage for stage in STAGES if stage.command[0] == command)
    for _ in range(times):
        laboratory.put_right(stage)
        running = [laboratory.forks.start(stage.command) for _ in range(2)]
        for ended in [each.wait() for each in running]:
            assert ended.code == 0, ended.output
        assert files(*stage.outputs) == laboratory.expected[stage]
        check_packs()


def check_end(fault: Fault, ended: Ended) -> None:
    """A fault ends a stage by its own kill, or in one line, or costs a warning; only a model's defect shows itself."""
    ends = {"SIGTERM": 143, "SIGINT": 130}.get(fault.kind, KILLED)
    if fault.kind in KILLS or fault.kind.endswith("kill"):
        assert ended.code in (ends, 0), ended.output  # 0: the work on its way was there already, or it was the last
        assert "Traceback" not in ended.output
    elif fault.point == "model":
        assert ended.code in (0, 1), ended.output
    else:
        assert "Traceback" not in ended.output
        assert ended.code == 0 or (ended.code == 1 and "Error: " in ended.output), ended.output


def check_packs() -> None:
    """Every pack that has its name is whole."""
    for store in ("edit", "verdict"):
        assert all(item_keys(pack) for pack in BatchStore(store).items())
