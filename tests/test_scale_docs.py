"""The scripts of docs/scale.md: the one for Slurm ends a stage well and asks for the queue, the pods are whole."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from varireal.config import ComputeConfig

PAGE = (Path(__file__).parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
SCRIPTS = [text for kind, text in BLOCKS if kind == "sh" and text.startswith("#!/bin/bash")]
STAGE = """\
import signal, sys, time
def end(*_):
    time.sleep(0.3)  # the batch at work
    open("finished", "w").close()
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
open("started", "w").close()
time.sleep(float(sys.argv[2]))  # after the name of the stage
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A folder with the first script, and with stand-ins for the programs that it calls."""
    (tmp_path / "job.sh").write_text(SCRIPTS[0])
    programs = {"dvc": f'"{sys.executable}" -m varireal edit $SECONDS_OF_WORK', "scontrol": "echo $* > requeued"}
    for name, line in programs.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{line}\n")
        path.chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("PATH=$PWD/bin:$PATH\n")
    (tmp_path / "varireal").mkdir()
    (tmp_path / "varireal" / "__init__.py").touch()  # else an installed package goes before it
    (tmp_path / "varireal" / "__main__.py").write_text(STAGE)
    return tmp_path


def start(job: Path, seconds: float) -> subprocess.Popen:
    environment = {"PATH": os.environ["PATH"], "SLURM_JOB_ID": "17", "SECONDS_OF_WORK": str(seconds)}
    environment["PYTHONPATH"] = str(job)  # the stand-in for varireal, also where another one is on the path
    return subprocess.Popen(["bash", "job.sh"], cwd=job, env=environment, start_new_session=True)


def test_slurms_signal_lets_the_stage_finish_its_batch_and_queues_the_job_again(job: Path) -> None:
    process = start(job, 60)
    end = time.monotonic() + 30
    while not (job / "started").exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert (job / "finished").exists() and (job / "requeued").read_text() == "requeue 17\n"


def test_a_job_that_is_done_is_not_queued_again(job: Path) -> None:
    assert start(job, 0).wait(timeout=30) == 0
    assert (job / "started").exists() and not (job / "requeued").exists()


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
def test_scripts_are_bash_and_name_settings_that_exist(script: str) -> None:
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert set(re.findall(r"compute\.(\w+)=", PAGE)) <= set(ComputeConfig.model_fields)


def test_the_pods_of_kubernetes_share_the_volume_and_workers_have_a_gpu_each() -> None:
    [text] = [text for kind, text in BLOCKS if kind == "yaml"]
    job = yaml.safe_load(text)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    [workers] = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    pods = [group["template"]["spec"] for group in (job["spec"]["rayClusterSpec"]["headGroupSpec"], workers)]
    for pod in pods:
        [container] = pod["containers"]
        [mount] = container["volumeMounts"]
        assert mount["name"] in {volume["name"] for volume in pod["volumes"]}
        assert f"cd {mount['mountPath']} " in job["spec"]["entrypoint"]
    assert [pod["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") for pod in pods] == [None, "1"]
