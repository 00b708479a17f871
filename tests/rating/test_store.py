"""The file of a rater's answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from varireal.errors import UserError
from varireal.rating.edits import RatedEdit
from varireal.rating.store import Rating, RatingsFile, all_raters, latest, ratings_path, read_ratings

FIRST, SECOND = (
    RatedEdit("color", "feasible", "jét/0#0", "a" * 64),
    RatedEdit("color", "infeasible", "jét/0#0", "b" * 64),
)


def test_answers_are_lines_in_their_order_and_the_last_one_counts(tmp_path: Path) -> None:
    with RatingsFile("anna", tmp_path) as ratings:
        ratings.append(Rating(FIRST, "possible"))
        ratings.append(Rating(SECOND, "broken"))
        ratings.append(Rating(FIRST, "impossible"))
    lines = (tmp_path / "anna.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["answer"] for line in lines] == ["possible", "broken", "impossible"]
    assert json.loads(lines[0]).keys() == {"time", "attribute", "feasibility", "image_id", "sha256", "answer"}
    assert latest(read_ratings(tmp_path / "anna.jsonl")) == {FIRST: "impossible", SECOND: "broken"}


def test_an_answer_is_synced_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_disk: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: on_disk.append(os.fstat(number).st_size))
    with RatingsFile("anna", tmp_path) as ratings:
        ratings.append(Rating(FIRST, "possible"))
        assert on_disk == [(tmp_path / "anna.jsonl").stat().st_size]


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_torn_last_line_loses_no_other_answer(tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "anna.jsonl"
    with RatingsFile("anna", tmp_path) as ratings:
        for answer in ("possible", "impossible", "broken"):
            ratings.append(Rating(FIRST, answer))
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[0][:cut])
    assert [rating.answer for rating in read_ratings(path)] == ["possible", "impossible", "broken"]
    with RatingsFile("anna", tmp_path) as ratings:
        assert len(ratings.ratings) == 3
        ratings.append(Rating(SECOND, "possible"))
    assert "half a line" in caplog.text
    assert path.read_bytes().startswith(whole) and len(read_ratings(path)) == 4


def test_a_last_line_that_lacks_only_its_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "anna.jsonl"
    with RatingsFile("anna", tmp_path) as ratings:
        ratings.append(Rating(FIRST, "possible"))
    path.write_bytes(path.read_bytes()[:-1])
    assert len(read_ratings(path)) == 1
    with RatingsFile("anna", tmp_path) as ratings:
        ratings.append(Rating(SECOND, "broken"))
    assert [rating.edit for rating in read_ratings(path)] == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{oops", "line 2 is no JSON"),
        ("[1]", "line 2: not a JSON object"),
        ('{"attribute": "color"}', "line 2: feasibility must be text, found None"),
        (json.dumps({"attribute": "c", "feasibility": "f", "image_id": "i", "sha256": "s", "answer": "yes"}),
         "answer must be one of possible, impossible, broken, found 'yes'"),
    ],
)  # fmt: skip
def test_a_spoilt_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    with RatingsFile("anna", tmp_path) as ratings:
        ratings.append(Rating(FIRST, "possible"))
    path = tmp_path / "anna.jsonl"
    path.write_text(f"{path.read_text()}{line}\n{path.read_text()}")
    with pytest.raises(UserError, match=said):
        read_ratings(path)


@pytest.mark.parametrize("name", ["", "Anna", "../anna", "a/b", ".anna", "-a", "a" * 41, "anna\n", "ännä", "a.b"])
def test_a_name_that_is_no_plain_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be used; allowed are"):
        ratings_path(name, tmp_path)
    with pytest.raises(UserError, match="cannot be used"):
        RatingsFile(name, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_one_process_at_a_time_rates_under_a_name(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from varireal.rating.store import RatingsFile\n"
        "RatingsFile('anna', Path(sys.argv[1]))"
    )
    with RatingsFile("anna", tmp_path), RatingsFile("ben", tmp_path):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1 and "anna is being rated for by another" in done.stderr
    RatingsFile("anna", tmp_path).__exit__(None, None, None)


def test_raters_are_read_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no ratings; make some with `varireal rate"):
        all_raters(tmp_path)
    for rater in ("ben", "anna"):
        with RatingsFile(rater, tmp_path) as ratings:
            ratings.append(Rating(FIRST, "broken"))
    assert {rater: len(own) for rater, own in all_raters(tmp_path).items()} == {"anna": 1, "ben": 1}
