"""A stage that outlives the DVC that started it writes nothing any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml
from tests.tiny_repository import environment, make_repository

PREPARE = Path("src/varireal/stages/prepare.py")
PATIENCE = 60.0
COMMANDS = {"in place of the shell": "{}", "below a shell": "{}; echo $? > code"}


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny study with a stage that says its number, then waits until it is let go on."""
    monkeypatch.chdir(tmp_path)
    make_repository()
    start = "    with staged_folder"
    wait = (
        "    import os, pathlib, time\n    pathlib.Path('begun').write_text(str(os.getpid()))\n"
        f"    for _ in range({int(2 * PATIENCE)} * 20):\n        if pathlib.Path('go on').exists():\n"
        "            break\n        time.sleep(0.05)\n"
    )
    PREPARE.write_text(PREPARE.read_text().replace(start, wait + start))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("command", "number"), zip(COMMANDS.values(), (signal.SIGTERM, signal.SIGKILL)), ids=COMMANDS)
def test_a_stage_whose_dvc_was_killed_leaves_its_outputs_alone(
    repository: Path, number: signal.Signals, command: str
) -> None:
    pipeline = yaml.safe_load(Path("dvc.yaml").read_text())
    pipeline["stages"] = {"prepare": pipeline["stages"]["prepare"]}
    pipeline["stages"]["prepare"]["cmd"] = command.format("python -m varireal prepare")
    pipeline.pop("plots", None)
    Path("dvc.yaml").write_text(yaml.safe_dump(pipeline))
    with Path("said").open("w") as said:
        dvc = subprocess.Popen(
            ["dvc", "repro", "prepare"], env=environment() | {"SHELL": "/bin/bash"}, stdout=said, stderr=said
        )
    wait_for(lambda: Path("begun").exists() and Path("begun").read_text() != "")
    dvc.send_signal(number)
    dvc.wait()
    stage = int(Path("begun").read_text())
    wait_for(lambda: ended(stage))
    assert not Path("data/prepared").exists()
    errors = [line for line in Path("said").read_text().splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and "DVC ended without its stage prepare" in errors[0]
    assert "Traceback" not in Path("said").read_text()
    if "code" in command:
        wait_for(lambda: Path("code").exists() and Path("code").read_text() != "")
        assert Path("code").read_text() == "1\n"

    Path("go on").touch()  # the same command again does the work
    again = subprocess.run(["dvc", "repro", "prepare"], env=environment(), capture_output=True, text=True)
    assert again.returncode == 0 and Path("data/prepared/dataset.json").exists(), again.stderr


def test_a_stage_that_was_called_by_hand_outlives_the_shell(repository: Path) -> None:
    variables = {name: value for name, value in environment().items() if name != "DVC_STAGE"}
    subprocess.run(["sh", "-c", f"'{sys.executable}' -m varireal prepare 2> said &"], env=variables, check=True)
    wait_for(lambda: Path("begun").exists() and Path("begun").read_text() != "")
    time.sleep(1.5)  # three looks of a stage of DVC's
    Path("go on").touch()
    wait_for(lambda: ended(int(Path("begun").read_text())))
    assert Path("data/prepared/dataset.json").exists() and "Error" not in Path("said").read_text()


def test_an_interrupt_of_the_terminal_shows_no_workers_traceback(tmp_path: Path) -> None:
    (tmp_path / "slow_items.py").write_text("import time\n\ndef work(item):\n    time.sleep(0.2)\n    return item\n")
    (tmp_path / "program.py").write_text(
        "from slow_items import work\n"
        "from varireal.compute.interruption import ending_on_signals\n"
        "from varireal.compute.processes import map_in_order\n"
        "if __name__ == '__main__':\n"
        "    with ending_on_signals():\n"
        "        print(sum(map_in_order(work, range(200), 2)))\n"
    )
    variables = environment() | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    program = subprocess.Popen(
        [sys.executable, "program.py"], cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    # a worker is there, and has not begun yet
    wait_for(lambda: any("spawn_main" in " ".join(each.cmdline()) for each in psutil.Process(program.pid).children()))
    time.sleep(0.2)
    os.killpg(program.pid, signal.SIGINT)  # as Ctrl-C does
    _, said = program.communicate(timeout=PATIENCE)
    assert program.returncode == 130 and "Traceback" not in said, said
