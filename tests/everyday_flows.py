"""What people do every day, on the tiny study, and what they get to see: before and after a change.

    python -m tests.everyday_flows                      # as it is now
    python -m tests.everyday_flows --before 44e8650     # beside an earlier revision

Three minutes or more for each; `--only` chooses flows by a part of their names. It is no test: what must hold has tests
of its own, and this shows how it looks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from tests.tiny_checkpoints import save_clip
from tests.tiny_repository import environment, make_repository
from tests.tiny_study import REPOSITORY, change

SCREEN = 120
PREPARE = Path("src/varireal/stages/prepare.py")
COPIED = ["src", ".dvc", "dvc.yaml", ".gitignore", ".dvcignore", "params.yaml",
          "models/demo/dvc.yaml", "models/demo/metrics"]  # fmt: skip
ELSEWHERE = re.compile(r"""(?:src|href)=["'](https?://[^/"']+)""")
STAGE = re.compile(r"^Running stage '([^']+)'", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Place:
    """A finished tiny study, and the checkout that its code is from."""

    source: Path

    def variables(self, own: bool = True) -> dict[str, str]:
        """Return the environment of a command."""
        found = environment() | {"COLUMNS": "1000", "MLFLOW_DISABLE_TELEMETRY": "true"}
        return found | ({} if own else {"PYTHONPATH": str(self.source / "src")})

    def call(self, *command: str, cwd: Path | str | None = None, own: bool = True) -> str:
        """Run a command that may fail; return what it prints, without what passes by.

        Args:
            own: find the code here; else where an editable installation has it.
        """
        variables = self.variables(own)
        done = subprocess.run(command, capture_output=True, text=True, env=variables, cwd=cwd, timeout=1800)
        lines = (done.stdout + done.stderr).replace("\r", "\n").splitlines()
        return "\n".join(
            line.rstrip() for line in lines if line.strip() and not re.search(r"\d+%\|| \[\d\d:\d\d", line)
        )

    def stage(self, *arguments: str, cwd: Path | None = None, own: bool = True) -> str:
        """Run a command of the project as dvc.yaml does."""
        return self.call(sys.executable, "-m", "varireal", *arguments, cwd=cwd, own=own)


Flow = Callable[[Place], str]
FLOWS: dict[str, Flow] = {}


def flow(name: str) -> Callable[[Flow], Flow]:
    """Add a flow to the table, in the order of the file."""

    def add(function: Flow) -> Flow:
        FLOWS[name] = function
        return function

    return add


def last(text: str, count: int = 1) -> str:
    """Return the last lines."""
    return "\n".join(text.splitlines()[-count:])


def size(text: str) -> str:
    """Return how large a table is on the screen."""
    lines = text.splitlines()
    if not lines:
        return "nothing"
    widest = max(map(len, lines))
    return f"{len(lines)} lines, {widest} wide{'' if widest <= SCREEN else ': not on a screen'}"


def shown(text: str) -> str:
    """Return a table if it fits a screen, else how large it is."""
    return size(text) + (f"\n{text}" if max(map(len, text.splitlines()), default=0) <= SCREEN else "")


@contextlib.contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    """Let a file hold another text for a while."""
    before = path.read_text()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)


def saying(word: str) -> str:
    """Return the code of the stage prepare that prints a word too."""
    start = "    with staged_folder"
    return PREPARE.read_text().replace(start, f"    click.echo('{word}')\n{start}")


@flow("dvc repro, with nothing changed")
def unchanged(place: Place) -> str:
    """Nothing is to be done."""
    return last(place.call("dvc", "repro"))


@flow("dvc metrics show")
def metrics(place: Place) -> str:
    """The figures of the study, in the working folder."""
    return shown(place.call("dvc", "metrics", "show"))


@flow("dvc metrics diff, with nothing changed")
def metrics_diff(place: Place) -> str:
    """Nothing differs from the commit."""
    return shown(place.call("dvc", "metrics", "diff"))


@flow("dvc exp run -S mix.ratio=0.25, then dvc metrics diff")
def ratio(place: Place) -> str:
    """Mixed cells alone are made anew."""
    ran = place.call("dvc", "exp", "run", "--name", "quarter", "-S", "mix.ratio=0.25")
    return f"ran {', '.join(STAGE.findall(ran))}\n{shown(place.call('dvc', 'metrics', 'diff'))}"


@flow("dvc exp show --only-changed --drop 'Created|.*/'")
def experiments(place: Place) -> str:
    """All experiments side by side."""
    return shown(place.call("dvc", "exp", "show", "--only-changed", "--drop", "Created|.*/"))


@flow("dvc exp diff HEAD quarter")
def difference(place: Place) -> str:
    """What an experiment changed."""
    return size(place.call("dvc", "exp", "diff", "HEAD", "quarter"))


@flow("varireal compare HEAD quarter")
def compare(place: Place) -> str:
    """The same with intervals and verdicts."""
    return last(place.stage("compare", "HEAD", "quarter"), 4)


@flow("-S mix.ratio=1.5; grid.seeds=3; mix.ratoi=0.5")
def wrong(place: Place) -> str:
    """Wrong settings are refused before anything is touched."""
    place.call("git", "checkout", "-q", ".")
    state, said = place.call("git", "status", "--short"), []
    for setting in ("mix.ratio=1.5", "grid.seeds=3", "mix.ratoi=0.5"):
        said.append(last(place.call("dvc", "exp", "run", "-S", setting, "prepare")))
        touched = place.call("git", "status", "--short") != state
        said[-1] += " [files were changed]" if touched else ""
        place.call("git", "checkout", "-q", ".")
    return "\n".join(said)


@flow("params.yaml edited by hand, then dvc exp run")
def dropped(place: Place) -> str:
    """What goes back to the defaults is named."""
    change(train__max_steps=3)
    said = place.call("dvc", "exp", "run", "-S", "mix.ratio=0.25", "prepare")
    place.call("git", "checkout", "-q", ".")
    return next((line for line in said.splitlines() if "max_steps" in line), "no word of train.max_steps")


@flow("another code in a git worktree")
def worktree(place: Place) -> str:
    """The working folder's own code runs, wherever the installation leads to."""
    place.call("git", "worktree", "add", "-q", "--detach", "../tree")
    (Path("../tree") / PREPARE).write_text(saying("code of the worktree"))
    said = place.stage("prepare", cwd=Path("../tree"), own=False)
    place.call("git", "worktree", "remove", "--force", "../tree")
    return said or "the installed code ran, and no word"


@flow("code changed after dvc exp run --queue")
def queue(place: Place) -> str:
    """The queue runs the code that was queued."""
    with changed(PREPARE, saying("queued code")):
        place.call("dvc", "exp", "run", "--queue", "--name", "late", "prepare", own=False)
    with changed(place.source / PREPARE, saying("later code")):
        place.call("dvc", "queue", "start", own=False)
        said = place.call("dvc", "queue", "logs", "--follow", "late", own=False)
    return next((line for line in said.splitlines() if line.endswith(" code")), last(said))


@flow("SIGTERM to dvc alone, while a stage runs")
def orphan(place: Place) -> str:
    """A stage without its DVC leaves its outputs alone."""
    wait = "    import time\n    open('begun', 'w').close()\n    time.sleep(8)\n"
    with changed(PREPARE, PREPARE.read_text().replace("    with staged_folder", f"{wait}    with staged_folder")):
        dvc = subprocess.Popen(["dvc", "repro", "--single-item", "prepare"], env=environment(), text=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip
        while not Path("begun").exists():
            time.sleep(0.05)
        dvc.send_signal(signal.SIGTERM)
        _, said = dvc.communicate()  # until the stage closes it too
        time.sleep(0.5)
    wrote = "the orphan wrote data/prepared" if Path("data/prepared").exists() else "nothing was written"
    Path("begun").unlink()
    place.call("dvc", "checkout", "--force", "data/prepared")
    errors = [line for line in said.splitlines() if line.startswith("Error: ")]
    return "\n".join([*errors, wrote])


@flow("Ctrl-C while workers work")
def interrupted(place: Place) -> str:
    """The terminal's interrupt shows no worker's traceback."""
    Path("slow_items.py").write_text("import time\n\ndef work(item):\n    time.sleep(0.2)\n    return item\n")
    Path("program.py").write_text(
        "from slow_items import work\nfrom varireal.compute.interruption import ending_on_signals\n"
        "from varireal.compute.processes import map_in_order\nif __name__ == '__main__':\n"
        "    with ending_on_signals():\n        for each in map_in_order(work, range(200), 2):\n"
        "            print(each, flush=True)\n"
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it, and its own
    program = subprocess.Popen([sys.executable, "program.py"], env=environment(), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)  # fmt: skip
    assert program.stdout is not None
    program.stdout.readline()  # workers are at work
    os.killpg(program.pid, signal.SIGINT)
    _, said = program.communicate()
    for name in ("slow_items.py", "program.py"):
        Path(name).unlink()
    return f"exit code {program.returncode}, {len(said.splitlines())} lines of errors"


@flow("-S 'grid.conditions=[feasible,infeasible]': metrics that it commits")
def part(place: Place) -> str:
    """An experiment on a part of the grid commits the metrics of its own cells."""
    place.call("dvc", "exp", "run", "--name", "part", "-S", "grid.conditions=[feasible,infeasible]")
    revision = place.call("git", "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/part")
    held = place.call("git", "ls-tree", "-r", "--name-only", revision, "metrics")
    place.call("git", "checkout", "-q", ".")
    place.call("dvc", "checkout")
    stale = [line for line in held.splitlines() if line.endswith("_mixed.json")]
    if '"mixed"' in place.call("git", "show", f"{revision}:metrics/mix/color.json"):
        stale.append("metrics/mix/color.json")
    return f"{len(held.splitlines())} files, of them stale: {', '.join(stale) or 'none'}"


@flow("dvc plots show: hosts that the page asks")
def plots(place: Place) -> str:
    """The page of plots."""
    place.call("dvc", "plots", "show", "--out", "../plots")
    page = Path("../plots/index.html").read_text()
    return ", ".join(sorted(set(ELSEWHERE.findall(page)))) or "none"


@flow("a copy of the project, then varireal track --resend")
def copied(place: Place) -> str:
    """The copy's runs keep their files in the copy."""
    shutil.copytree(".", "../copy", symlinks=True)
    before = sorted(Path("mlartifacts").rglob("*"))
    place.stage("track", "--resend", cwd=Path("../copy"))
    own = len([path for path in Path("../copy/mlartifacts").rglob("*") if path.is_file()])
    came = len(set(Path("mlartifacts").rglob("*")) - set(before))
    first = len([path for path in before if path.is_file()])
    shutil.rmtree("../copy")
    return f"{own - first} files new in the copy, {came} in the project it came from"


@flow("two machines log their first study to one MLflow server")
def writers(place: Place) -> str:
    """Both find the experiment that one of them made."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--workers", "2", "--host", "127.0.0.1",
         "--port", address.rpartition(":")[2], "--backend-store-uri", f"sqlite:///{Path('../server.db').resolve()}",
         "--artifacts-destination", str(Path("../served").resolve())],
        env=place.variables(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        while not answers(f"{address}/health"):
            time.sleep(0.2)
        variables = place.variables() | {"MLFLOW_TRACKING_URI": address}
        folders = [Path("../first"), Path("../second")]
        for folder in folders:
            shutil.copytree(".", folder, symlinks=True)
        tracks = [subprocess.Popen([sys.executable, "-m", "varireal", "track"], cwd=folder, env=variables, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for folder in folders]  # fmt: skip
        said = [track.communicate()[0] for track in tracks]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    for folder in folders:
        shutil.rmtree(folder)
    return "\n".join(f"exit code {track.returncode}: {last(text)}" for track, text in zip(tracks, said))


def answers(url: str) -> bool:
    """Return whether a server is up."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@flow("dvc exp push before a remote is there, and again after")
def push(place: Place) -> str:
    """Git has the experiment, DVC's remote not its files."""
    place.call("git", "clone", "-q", "--bare", ".", "../server")
    place.call("git", "remote", "add", "origin", "../server")
    first = place.call("dvc", "exp", "push", "origin", "quarter")
    place.call("dvc", "remote", "add", "--default", "store", "../store")
    again = place.call("dvc", "exp", "push", "origin", "quarter")
    files = len([path for path in Path("../store").rglob("*") if path.is_file()])
    return f"{last(first, 2)}\n{last(again, 2)}\n{files} files in the remote"


@flow("a commit, then dvc exp list; dvc exp list -A")
def hidden(place: Place) -> str:
    """Experiments belong to the commit that they began at."""
    Path("note").write_text("")
    place.call("git", "add", "note")
    place.call("git", "commit", "-qm", "note")
    names = [place.call("dvc", "exp", "list", *more) for more in ([], ["-A"])]
    return "\n".join(" ".join(text.split()) or "nothing" for text in names)


@flow("a fresh clone: dvc pull, then varireal track, as make ui does")
def clone(place: Place) -> str:
    """The clone has everything, and its store is filled."""
    place.call("dvc", "push")
    place.call("git", "clone", "-q", ".", "../clone")
    place.call("dvc", "remote", "add", "--local", "--default", "store", "../store", cwd="../clone")
    pulled = last(place.call("dvc", "pull", cwd="../clone"))
    return f"{pulled}\n{last(place.stage('track', cwd=Path('../clone')))}"


def make_place(source: Path, folder: Path) -> Place:
    """Make the finished study in a folder, committed, and go there."""
    root = folder / "project"
    root.mkdir()
    os.chdir(root)
    make_repository(source)
    change(clip__model=f"local-dir:{save_clip(Path('clip'))}", grid__seeds=[0, 1])
    Path("conf").mkdir()
    shutil.copy("params.yaml", "conf/config.yaml")
    shutil.copytree(source / "models/demo", "models/demo")
    Path("metrics").mkdir()
    for name in ("sweep", "ratings"):
        Path(f"metrics/{name}.json").write_text("{}\n")
    place = Place(source)
    said = place.call("dvc", "repro")
    if not Path("reports/index.html").exists():
        raise SystemExit(f"the study could not be made:\n{said}")
    place.call("git", "add", "-A")
    place.call("git", "commit", "-qm", "study")
    return place


def checkout(revision: str | None, folder: Path) -> None:
    """Put into a folder what the study needs of a revision, or of this checkout as it is."""
    if revision is None:
        tracked = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", *COPIED],
            cwd=REPOSITORY, capture_output=True, text=True, check=True,
        )  # fmt: skip
        for name in tracked.stdout.splitlines():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
        return
    done = subprocess.run(["git", "archive", revision, *COPIED], cwd=REPOSITORY, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def run_flows(revision: str | None, wanted: str) -> dict[str, str]:
    """Return what every flow shows, with the code of a revision or of this checkout."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        folder = Path(name)
        source = folder / "source"
        checkout(revision, source)
        place = make_place(source, folder)
        told = {}
        for title, function in FLOWS.items():
            if wanted in title:
                began = time.monotonic()
                told[title] = function(place)
                click.echo(f"{time.monotonic() - began:5.1f} s  {title}", err=True)
        return told


@click.command()
@click.option("--before", metavar="REV", help="A git revision to run too.")
@click.option("--only", default="", help="Flows with this in their names; they may need those above them.")
def main(before: str | None, only: str) -> None:
    """Print a table of everyday flows and what is printed."""
    columns = {before: run_flows(before, only)} if before else {}
    columns["now"] = run_flows(None, only)
    for title in FLOWS:
        if only in title:
            click.echo(f"\n{title}")
            for name, told in columns.items():
                for number, line in enumerate(told[title].splitlines()):
                    click.echo(f"  {'' if number else name:<8} {line}")


if __name__ == "__main__":
    main()
