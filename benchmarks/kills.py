"""Kill `edit` and `train` at random moments, run them again, and compare every byte of their outputs.

    python -m benchmarks.kills --kills 50

A small study with tiny random networks (those of the tests) is made in a temporary folder. Each trial begins with no
finished work: the stage runs in a process group of its own, which gets SIGKILL at a moment drawn between the first sign
of its work and its end, and is then run once more. Half of the kills go to each stage.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from tests.editing.tiny_pipelines import save_pipeline
from tests.tiny_checkpoints import save_clip
from tests.tiny_study import CELLS, CONDITIONS, TO_MIX, change, make_study, run_stages

from varireal import paths
from varireal.base.files import sha256_file
from varireal.base.seeding import generator

WORK = Path(".work")
STAGES = {
    "edit": (["edit", *CELLS[0]], paths.edit_folder("color", "feasible"), paths.METRICS / "edit"),
    "train": (["train", *CONDITIONS[2]], paths.adapter_folder("color", "mixed"), paths.METRICS / "train"),
}
RECIPE = {"dilation": 1, "mask_blur": 0.7, "strength": 1.0, "num_inference_steps": 4, "guidance_scale": 2.0}
POLL = 0.01  # seconds


def build(folder: Path) -> None:
    """Make the study in the current folder, up to what both stages read."""
    clip = save_clip(folder / "clip")
    pipeline = save_pipeline(folder / "sdxl-inpaint", xl=True, inpaint=True)
    make_study(clip)
    recipes = {"color": dict.fromkeys(("feasible", "infeasible"), RECIPE)}
    change(edit__method="diffusion", edit__refine__checkpoint=None, edit__recipes=recipes, edit__edits_per_photo=16)
    change(edit__inpaint__checkpoint=str(pipeline), edit__inpaint__batch_size=4)
    change(train__max_steps=60, train__eval_every=10, train__checkpoint_every=5, grid__seeds=[0, 1])
    change(compute__num_threads=1, compute__workers=2)
    run_stages(TO_MIX)


def command(stage: str) -> list[str]:
    """Return the command of a stage."""
    name, *options = STAGES[stage][0]
    return [sys.executable, "-m", "varireal", name, *options]


def clear(stage: str) -> None:
    """Remove the stage's outputs, as `dvc repro` does before it runs one, and all finished work."""
    for path in (WORK, *STAGES[stage][1:]):
        shutil.rmtree(path, ignore_errors=True)


def outputs(stage: str) -> dict[str, str]:
    """Return the hashes of the stage's output files by their paths."""
    files = sorted(path for folder in STAGES[stage][1:] for path in folder.rglob("*") if path.is_file())
    return {str(path): sha256_file(path) for path in files}


def undisturbed(stage: str) -> tuple[float, dict[str, str]]:
    """Run the stage from nothing; return the seconds from the first sign of its work to its end, and its outputs."""
    clear(stage)
    with running(stage) as process:
        span = seconds_of_work(process, None)
    if process.returncode:
        raise click.ClickException(f"{stage} ended with {process.returncode}")
    return span, outputs(stage)


def seconds_of_work(process: subprocess.Popen[bytes], most: float | None) -> float:
    """Wait until the process ends, or has worked for ``most`` seconds; return the seconds since its work began."""
    began = None
    while process.poll() is None:
        if began is None and WORK.exists():
            began = time.monotonic()
        if began is not None and most is not None and time.monotonic() - began >= most:
            break
        time.sleep(POLL)
    return 0.0 if began is None else time.monotonic() - began


@contextlib.contextmanager
def running(stage: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start the stage as a process group of its own, of which nothing is left after the block."""
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command(stage), start_new_session=True, **silent)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def trials(stage: str, kills: int, seed: int) -> tuple[int, int]:
    """Kill the stage so often; return how many reruns gave the very outputs, and at how many kills work was kept."""
    span, expected = undisturbed(stage)
    rng = generator("kills", seed, stage)
    done = same = kept = 0
    while done < kills:
        moment = float(rng.uniform(0, span))
        clear(stage)
        with running(stage) as process:
            worked = seconds_of_work(process, moment)
            if process.poll() is not None:
                span = min(span, worked)  # the machine has less to do than before: the moment was after the end
                continue
        done += 1
        kept += any(path.is_file() for path in WORK.rglob("*"))
        code = subprocess.run(command(stage), capture_output=True, check=False).returncode
        equal = code == 0 and outputs(stage) == expected
        same += equal
        click.echo(f"{stage} {done}/{kills}: killed after {worked:.2f} s, {'same bytes' if equal else 'DIFFERENT'}")
    return same, kept


@click.command()
@click.option("--kills", type=click.IntRange(min=2), default=50, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--stage", "stages", type=click.Choice(list(STAGES)), multiple=True, default=list(STAGES))
def main(kills: int, seed: int, stages: Sequence[str]) -> None:
    """Print how many of the reruns gave byte-identical outputs; exit code 1 if one did not."""
    total = 0
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ.pop("DVC_ROOT", None)
        build(Path(folder))
        for stage in stages:
            each = kills // len(stages)
            same, kept = trials(stage, each, seed)
            click.echo(f"{stage}: {same} of {each} byte-identical; {kept} kills left finished work behind")
            total += same - each
    sys.exit(1 if total else 0)


if __name__ == "__main__":
    main()
