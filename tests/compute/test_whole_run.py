"""Which stage of how many runs, and what is left of all: from notes of seconds, dvc.lock, settings and code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from varireal.compute import whole_run
from varireal.compute.pipeline import in_order, keep_parsed, read_stages
from varireal.compute.progress import progress, whole_as
from varireal.compute.whole_run import WholeRun, asked_for, read_notes, spoken

PIPELINE = """
stages:
  prepare:
    cmd: python -m varireal prepare
    outs: [data/prepared]
  edit:
    matrix:
      kind: ${grid.kinds}
    cmd: python -m varireal edit --kind ${item.kind}
    params: ["edit.${item.kind}"]
    deps: [src/edit.py, data/prepared]
    outs:
      - data/edits/${item.kind}
      - metrics/${item.kind}.json:
          cache: false
  shares:
    cmd: python -m varireal shares
    params: [ratio]
    outs: [data/shares]
  train:
    matrix:
      kind: ${grid.kinds}
    cmd: python -m varireal train --kind ${item.kind}
    deps: ["data/edits/${item.kind}", "data/shares/${item.kind}.json"]
    outs: ["models/${item.kind}"]
  report:
    cmd: python -m varireal report
    deps: [models]
    outs: [reports]
"""
SETTINGS: dict[str, Any] = {"grid": {"kinds": ["pure", "mixed"]}, "edit": {"pure": 1, "mixed": 2}, "ratio": 0.5}
SECONDS = {"prepare": 5.0, "edit@pure": 100.0, "edit@mixed": 60.0, "shares": 1.0, "train@pure": 200.0,
           "train@mixed": 300.0, "report": 10.0}  # fmt: skip


class Study:
    """A pipeline that ran once in a folder, and the clock."""

    def __init__(self, folder: Path, clock: list[float]) -> None:
        self._clock, self.settings = clock, dict(SETTINGS)
        (folder / "dvc.yaml").write_text(PIPELINE)
        for name, text in {"src/edit.py": "1", "data/shares/pure.json": "0", "data/shares/mixed.json": "0.5"}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        self.lock()
        for name, seconds in SECONDS.items():
            run = self.seen_from(name, run="before", began=self.now)
            self.now += seconds
            run.note()

    @property
    def now(self) -> float:
        return self._clock[0]

    @now.setter
    def now(self, value: float) -> None:
        self._clock[0] = value

    def lock(self) -> None:
        """Write what DVC notes of a finished run."""
        lines = ["schema: '2.0'", "stages:"]
        for name, stage in read_stages(Path("dvc.yaml"), self.settings).items():
            lines += [f"  {name}:", f"    cmd: {stage.command}"]
            for kind in ("deps", "outs"):
                lines.append(f"    {kind}:")
                for path in getattr(stage, kind):
                    data = Path(path).read_bytes() if Path(path).is_file() else path.encode()
                    lines += [f"    - path: {path}", "      hash: md5", f"      md5: {hashlib.md5(data).hexdigest()}"]
        Path("dvc.lock").write_text("\n".join(lines) + "\n")

    def seen_from(self, name: str, run: str = "now", began: float | None = None) -> WholeRun:
        stages = read_stages(Path("dvc.yaml"), self.settings)
        notes = read_notes(Path(".work/times"))
        begin = self.now if began is None else began
        return WholeRun(stages, in_order(stages), name, self.settings, notes, run, begin)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    whole_run._state.cache_clear()
    clock = [1000.0]
    monkeypatch.setattr("time.time", lambda: clock[0])
    return Study(tmp_path, clock)


def test_what_follows_a_stage_that_runs_is_left(study: Study) -> None:
    assert in_order(read_stages(Path("dvc.yaml"), SETTINGS)) == list(SECONDS)
    # 5 + 100 + 60 + 200 + 300 + 10; shares depends on nothing that runs
    assert study.seen_from("prepare").words() == "stage 1 of 7 · about 11 min left"
    study.now += 2
    assert study.seen_from("train@mixed", began=study.now - 70).words() == "stage 6 of 7 · about 4 min left"  # 230 + 10


def test_a_changed_ratio_leaves_out_what_it_does_not_reach(study: Study) -> None:
    study.settings["ratio"] = 0.25
    shares = study.seen_from("shares", began=study.now)
    Path("data/shares/mixed.json").write_text("0.25")
    study.now += 1
    shares.note()
    assert study.seen_from("train@mixed").words() == "stage 6 of 7 · about 5 min left"  # 300 + 10
    assert [name for name, _ in study.seen_from("shares")._later] == ["train@pure", "train@mixed", "report"]


def test_changed_settings_and_code_of_later_stages_count(study: Study) -> None:
    study.settings["edit"] = {"pure": 1, "mixed": 3}
    later = [name for name, _ in study.seen_from("shares")._later]
    assert later == ["train@pure", "train@mixed", "report"]  # edits are behind shares
    later = [name for name, _ in study.seen_from("edit@pure")._later]
    assert later == ["edit@mixed", "train@pure", "train@mixed", "report"]
    study.settings["edit"] = SETTINGS["edit"]
    assert "edit@mixed" not in [name for name, _ in study.seen_from("edit@pure")._later]
    Path("src/edit.py").write_text("2")
    whole_run._state.cache_clear()
    assert "edit@mixed" in [name for name, _ in study.seen_from("edit@pure")._later]


def test_the_pace_of_this_run_counts_for_stages_of_the_same_kind(study: Study) -> None:
    edit = study.seen_from("edit@pure", began=study.now)
    study.now += 300  # three times as long as before
    edit.note()
    # what depends on edit@pure is as it was, so DVC leaves it alone; seconds of another kind are not changed
    assert study.seen_from("edit@mixed")._later == [("train@mixed", 300.0), ("report", 10.0)]
    assert study.seen_from("edit@mixed")._own_left(None) == pytest.approx(180)


def test_a_bar_tells_more_than_a_note_of_other_settings(study: Study) -> None:
    assert study.seen_from("edit@mixed")._own_left(20) == 60  # what comes after the bar is in the note
    study.settings["edit"] = {"pure": 1, "mixed": 3}
    assert study.seen_from("edit@mixed")._own_left(20) == 20
    assert study.seen_from("edit@mixed")._own_left(None) == 60


def test_where_nothing_is_known_nothing_is_said_of_time(study: Study) -> None:
    for path in Path(".work/times").iterdir():
        path.unlink()
    Path("dvc.lock").unlink()
    assert study.seen_from("edit@pure").words() == "stage 2 of 7"
    edit = study.seen_from("edit@pure", began=study.now)
    study.now += 90
    edit.note()
    assert study.seen_from("edit@mixed").words() == "stage 3 of 7 · over 2 min left"  # those of its kind take 90 s


def test_finished_work_does_not_pass_for_the_whole(study: Study) -> None:
    edit = study.seen_from("edit@pure", began=study.now)
    study.now += 3
    edit.note()
    assert read_notes(Path(".work/times"))["edit@pure"].seconds == 50
    study.settings["edit"] = {"pure": 7, "mixed": 2}
    edit = study.seen_from("edit@pure", run="another", began=study.now)
    study.now += 4
    edit.note()
    assert read_notes(Path(".work/times"))["edit@pure"].seconds == 4  # with other settings it is another work


def test_notes_of_another_version_count_as_none(study: Study) -> None:
    Path(".work/times/prepare.json").write_text("[]")
    Path(".work/times/edit@pure.json").write_text('{"seconds": 3}')
    assert read_notes(Path(".work/times")).keys() == SECONDS.keys() - {"prepare", "edit@pure"}


def test_what_dvc_yaml_says_is_kept_until_it_is_changed(study: Study) -> None:
    pipeline, kept = Path("dvc.yaml"), Path("kept")
    first = read_stages(pipeline, SETTINGS, kept)
    keep_parsed(pipeline, kept)
    assert read_stages(pipeline, SETTINGS, kept) == first
    pipeline.write_text(PIPELINE.replace("report:", "page:"))
    assert list(read_stages(pipeline, SETTINGS, kept))[-1] == "page"
    keep_parsed(pipeline, kept)
    assert list(read_stages(pipeline, SETTINGS, kept))[-1] == "page"


@pytest.mark.parametrize("rest", [b"", b"\0\0\0\0", b'{"seconds": 1', b"[]", b"\xff\xfe"])
def test_what_a_crash_leaves_of_notes_stops_no_stage(rest: bytes, tmp_path: Path) -> None:
    (tmp_path / "edit@color-feasible.json").write_bytes(rest)
    assert read_notes(tmp_path) == {}
    pipeline, kept = tmp_path / "dvc.yaml", tmp_path / "pipeline"
    pipeline.write_text("stages: {shares: {cmd: python -m varireal shares}}")
    kept.write_bytes(rest)
    assert list(read_stages(pipeline, {}, kept)) == ["shares"]
    keep_parsed(pipeline, kept)
    assert json.loads(kept.read_bytes())[1]["stages"].keys() == {"shares"}


def test_what_is_asked_of_dvc_is_what_counts(study: Study) -> None:
    stages = read_stages(Path("dvc.yaml"), SETTINGS)
    assert asked_for(["dvc", "repro"], stages) == ([], False)
    named, alone = asked_for(["dvc", "repro", "edit"], stages)
    assert (named, alone) == (["edit@pure", "edit@mixed"], False)
    assert in_order(stages, named) == ["prepare", "edit@pure", "edit@mixed"]
    assert asked_for(["dvc", "repro", "-s", "train@mixed"], stages) == (["train@mixed"], True)
    assert asked_for(["dvc", "repro", "--downstream", "edit"], stages) == ([], False)


def test_a_log_says_where_the_whole_run_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with whole_as(lambda left: f"stage 2 of 7 · {left} s and more"), progress("edit", 3) as advance:
        for _ in range(3):
            clock[0] += 4
            advance(1)
    assert capsys.readouterr().err.splitlines() == [
        "edit: 1/3, 4 s passed · stage 2 of 7 · None s and more",  # the stage's own notes say what is left
        "edit: 2/3, 8 s passed, about 4 s left · stage 2 of 7 · 4.0 s and more",
        "edit: 3/3, 12 s passed, about 0 s left · stage 2 of 7 · 0.0 s and more",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (730, "12 min"), (5400, "1.5 h")]
)
def test_times_are_said_in_the_unit_that_suits_them(seconds: float, words: str) -> None:
    assert spoken(seconds) == words
