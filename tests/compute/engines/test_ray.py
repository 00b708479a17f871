"""Ray's actors: the bytes of worker processes, lost ones replaced, poison set aside, and a good end on a signal."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.compute.engines.workers import Failing, Products, Sticky, Together
from tests.tiny_study import CELLS, CONDITIONS, TO_MIX, change, make_study, run_stages

from varireal import paths
from varireal.base.manifest import read_manifest
from varireal.compute.engines import SetAside
from varireal.compute.engines.local import LocalEngine
from varireal.compute.engines.ray import RayEngine
from varireal.compute.processes import available_cores
from varireal.config import ComputeConfig
from varireal.errors import UserError

ray = pytest.importorskip("ray")
BATCHES = [[0, 1, 2], [3, 4, 5], [6, 7]]
RECIPE = {"dilation": 1, "mask_blur": 0.7, "strength": 1.0, "num_inference_steps": 2, "guidance_scale": 2.0}
STAGES = [["segment"], ["edit", *CELLS[0]]]
SECONDS = 240  # after which a test is broken, not slow
pytestmark = [pytest.mark.slow, pytest.mark.skipif(available_cores() < 2, reason="needs two cores")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray on this machine, as the engine starts it, but once for several tests."""
    with RayEngine(ComputeConfig(device="cpu"), ())._connected():
        yield


def run(worker, batches: list[list[int]] = BATCHES, *modules: str) -> dict[int, list]:
    engine = RayEngine(ComputeConfig(device="cpu", workers=2), modules)
    with engine.open(worker, len(batches)) as pool:
        return dict(pool.run(batches))


def test_without_ray_or_its_cluster_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for address, reason in (("127.0.0.1:9", "refused"), ("127.0.0.1:redis", "invalid literal")):
        engine = RayEngine(ComputeConfig(engine="ray", ray_address=address), ("torch",))
        with pytest.raises(UserError, match=rf"no Ray cluster at compute.ray_address = '{address}' .*{reason}"):
            engine.device()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'varireal\[ray\]'"):
        RayEngine(ComputeConfig(engine="ray"), ())


def test_batches_are_spread_over_actors_and_drawn_as_they_are_needed(cluster: None, tmp_path: Path) -> None:
    def batches() -> Iterator[list[int]]:
        nonlocal drawn
        for number in range(6):
            drawn += 1
            yield [number]

    drawn, done, pids = 0, 0, set()
    with RayEngine(ComputeConfig(device="cpu", workers=2), ()).open(Together(tmp_path), 6) as pool:
        for _, results in pool.run(batches()):
            done, pids = done + 1, pids | {pid for _, pid in results}
            assert drawn - done < 2
    assert done == 6 and len(pids) == 2 and os.getpid() not in pids


def test_actors_compute_what_worker_processes_compute(cluster: None) -> None:
    with LocalEngine(ComputeConfig(device="cpu", workers=2), ("torch",)).open(Products(), 3) as pool:
        assert run(Products(), BATCHES, "torch") == dict(pool.run(BATCHES))


def test_a_lost_actors_batch_is_done_by_another_and_poison_is_set_aside(cluster: None, tmp_path: Path) -> None:
    whole = {0: [0, -1, -2], 1: [-3, -4, -5], 2: [-6, -7]}
    assert run(Failing("die", 4, once=tmp_path / "died")) == whole
    failed = run(Failing("raise", 4))
    aside = SetAside("set aside after 3 tries: ZeroDivisionError: a defect")
    assert failed == whole | {1: [-3, aside, -5]}
    killed = run(Failing("die", 1), [[0], [1]])
    aside = SetAside("set aside after 3 tries: its worker was lost (ActorDiedError), perhaps for memory")
    assert killed == {0: [0], 1: [aside]}


def test_an_actor_whose_accelerator_broke_is_replaced(cluster: None) -> None:
    batches = [[2 * number, 2 * number + 1] for number in range(12)]
    done = run(Sticky(3), batches)
    assert {number: [result[0] for result in results] for number, results in done.items()} == {
        number: [-item for item in batch] for number, batch in enumerate(batches)
    }
    assert len({pid for results in done.values() for _, pid in results}) >= 4


def test_what_a_user_has_to_mend_ends_the_run(cluster: None) -> None:
    with pytest.raises(UserError, match="the photo cannot be read"):
        run(Failing("user", 4))


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_sdxl_inpaint: Path) -> Path:
    """The current folder: a tiny study whose edits a pipeline makes, in batches of two."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    make_study(Path("no clip"))
    recipes = {"color": dict.fromkeys(("feasible", "infeasible"), RECIPE)}
    change(edit__method="diffusion", edit__refine__checkpoint=None, edit__recipes=recipes)
    change(edit__inpaint__checkpoint=str(tiny_sdxl_inpaint), edit__inpaint__batch_size=2)
    change(compute__num_threads=None, compute__workers=1)  # an actor takes ten seconds of imports
    run_stages(TO_MIX[:2])
    return tmp_path


def outputs() -> dict[str, bytes]:
    folders = (paths.SEGMENTED, paths.edit_folder("color", "feasible"), paths.METRICS)
    return {path.as_posix(): path.read_bytes() for folder in folders for path in sorted(folder.rglob("*.*"))}


@contextlib.contextmanager
def killing_an_actor_in_the_middle() -> Iterator[list[int]]:
    """Kill an actor at work as soon as a batch of edits is finished; yield the list of what was killed."""
    killed: list[int] = []

    def kill() -> None:
        end = time.monotonic() + SECONDS
        while not killed and time.monotonic() < end:
            if any(Path(".work/edit").glob("*/[!.]*")):
                for process in psutil.Process().children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        if not killed and process.cmdline()[:1] == ["ray::Host.work"]:
                            process.kill()
                            killed.append(process.pid)
            time.sleep(0.01)

    thread = threading.Thread(target=kill)
    thread.start()
    yield killed
    thread.join()


def test_the_stages_make_the_same_bytes_though_an_actor_is_killed(
    cluster: None, study: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_stages(STAGES)
    expected = outputs()
    assert len(read_manifest(paths.edit_folder("color", "feasible") / "manifest.parquet")) == 18
    for folder in (".work", paths.SEGMENTED, paths.edit_folder("color", "feasible")):
        shutil.rmtree(folder)
    change(compute__engine="ray")
    with killing_an_actor_in_the_middle() as killed:
        run_stages(STAGES)
    assert outputs() == expected
    assert len(killed) == 1 and "its worker was lost" in caplog.text


def test_adapters_predictions_and_measures_are_those_of_one_worker(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_clip: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    make_study(tiny_clip)
    change(grid__conditions=["feasible"], grid__sources=["real+synthetic"], grid__seeds=[0, 1])
    change(compute__num_threads=1, compute__workers=1)
    run_stages([*TO_MIX, ["train", "--real-only"]])
    stages = [["measure"], ["train", *CONDITIONS[0]], ["evaluate"]]
    made, folders = [], (paths.adapter_folder("color", "feasible"), paths.PREDICTIONS.parent, paths.METRICS)
    for engine in ("local", "ray"):
        for stage in stages:
            # one actor is enough beside those that train: each takes ten seconds of imports
            change(compute__engine=engine, compute__workers=2 if (engine, stage[0]) == ("ray", "train") else 1)
            run_stages([stage])
        made.append({p.as_posix(): p.read_bytes() for folder in folders for p in sorted(folder.rglob("*.*"))})
        for folder in (".work", *folders[:2]):
            shutil.rmtree(folder)
    assert len(made[0]) > 15 and made[1] == made[0]


def test_sigterm_to_all_processes_ends_the_stage_with_143_and_keeps_what_is_finished(study: Path) -> None:
    """Sent to the whole group, as Slurm and dvc's terminal do: Ray's own processes must outlive the batches."""
    run_stages(STAGES[:1])
    change(compute__engine="ray")
    command = [sys.executable, "-m", "varireal", "edit", *CELLS[0]]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + SECONDS
        while not (finished := set(Path(".work/edit").glob("*/[!.]*"))) and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 143, errors
    assert "Traceback" not in errors and not paths.edit_folder("color", "feasible").exists()
    kept = {path: path.stat().st_mtime_ns for path in Path(".work/edit").glob("*/[!.]*")}
    assert finished <= set(kept) and len(kept) < 9
    change(compute__engine="local")
    run_stages(STAGES[1:])
    assert len(read_manifest(paths.edit_folder("color", "feasible") / "manifest.parquet")) == 18
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
