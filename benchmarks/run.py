"""All benchmarks of speed, one after the other, as one table of what was measured beside what was aimed at.

python benchmarks/run.py                  # in a folder where `dvc repro` has run
python benchmarks/run.py edits commands   # some of them
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from varireal.compute.processes import available_cores

HERE = Path(__file__).parent
Row = tuple[str, str, str, bool]  # what, measured, aim, met


def script(name: str, *arguments: str) -> Any:
    """Run a benchmark of this folder and return the figures that it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        subprocess.run([sys.executable, str(HERE / name), *arguments, "--json", str(path)], check=True)
        return json.loads(path.read_text())


def edits() -> list[Row]:
    """Edits against a plain loop, and over their networks' time."""
    found = script("edits.py")
    cells, passes = found["plain loop"].values(), found["forward passes"].values()
    gain = sum(cell["plain"] for cell in cells) / sum(cell["ours"] for cell in cells)
    share = sum(cell["edit"]["wall"] for cell in passes) / sum(cell["networks"]["wall"] for cell in passes)
    return [
        ("edit: images/s against a plain loop", f"{gain:.1f} times", "≥ 3", gain >= 3),
        ("edit: time over its networks alone", f"{share:.3f}", "≤ 1.10", share <= 1.1),
    ]


def training() -> list[Row]:
    """A training step over the network, and images a second against a plain loop."""
    times = script("training.py", "--steps", "9")["seconds"]
    step, network = times.pop("step"), times.pop("network")
    share = step / network
    gains = {size: plain / step for size, plain in times.items() if size != "own"}
    return [
        ("train: step over forward + backward", f"{share:.3f}", "≤ 1.10", share <= 1.1),
        *(
            (f"train: images/s against a plain loop, {size} photos", f"{gain:.2f} times", "≥ 1.5", gain >= 1.5)
            for size, gain in gains.items()
        ),
    ]


def bookkeeping() -> list[Row]:
    """An edit without networks, and a mix of a million rows."""
    found = script("bookkeeping.py")
    counts = sorted(found["edit"], key=int)
    least, most = found["edit"][counts[0]], found["edit"][counts[-1]]
    speed = min(int(count) / found["edit"][count]["first"]["wall"] for count in counts)
    each = [run["first"]["wall"] / int(count) for run, count in ((least, counts[0]), (most, counts[-1]))]
    memory = most["first"]["memory"] / least["first"]["memory"]
    resumed, mixed = most["again"]["found"], found["mix"]
    return [
        ("edit without networks", f"{speed:.0f} a second", "≥ 500", speed >= 500),
        (f"the same, time an item at {counts[-1]} over {counts[0]}", f"{each[1] / each[0]:.2f}", "≤ 1.15",
         each[1] / each[0] <= 1.15),
        (f"the same, peak memory at {counts[-1]} over {counts[0]}", f"{memory:.2f}", "flat", memory <= 1.5),
        (f"finding {counts[-1]} finished edits", f"{resumed:.1f} s", "< 10 s", resumed < 10),
        (f"mix of {mixed['rows']:,} rows", f"{mixed['wall']:.1f} s", "< 10 s", mixed["wall"] < 10),
        ("the same, peak memory", f"{mixed['memory'] / 1e9:.2f} GB", "< 1.5 GB", mixed["memory"] < 1.5e9),
    ]  # fmt: skip


def commands() -> list[Row]:
    """Commands that do nothing: the fastest of three."""
    rows = []
    for words, aim in ((("dvc", "repro"), 4.0), (("varireal", "--help"), 0.5)):
        program = [str(Path(sys.executable).parent / words[0]), *words[1:]]
        times = []
        for _ in range(3):
            start = time.perf_counter()
            done = subprocess.run(program, check=True, capture_output=True, text=True)
            times.append(time.perf_counter() - start)
        if words[1] == "repro" and "up to date" not in done.stdout:
            raise click.ClickException("dvc repro had work to do; run it first")
        rows.append((" ".join(words), f"{min(times):.2f} s", f"< {aim:g} s", min(times) < aim))
    return rows


PARTS: dict[str, Callable[[], Sequence[Row]]] = {
    part.__name__: part for part in (edits, training, bookkeeping, commands)
}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
def main(parts: tuple[str, ...]) -> None:
    """Run the benchmarks of speed (all, or PARTS of them) and print their table."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # dvc runs `python`
    table = Table("", "measured", "aim", "", title=f"{available_cores()} cores, {platform.processor() or 'CPU'}")
    for part in parts or PARTS:
        for what, measured, aim, met in PARTS[part]():
            table.add_row(what, measured, aim, "met" if met else "missed")
    Console().print(table)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    click.echo(f"largest process: {peak:.1f} GiB")


if __name__ == "__main__":
    main()
