"""Which edits are shown, and in which order."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from varireal import paths
from varireal.base.files import read_image, sha256_file
from varireal.base.manifest import read_manifest, write_manifest
from varireal.errors import UserError
from varireal.rating.edits import RatedEdit, choose, in_order_for, picture_bytes, read_edits

CELLS = [("color", "feasible"), ("color", "infeasible"), ("texture", "feasible"), ("texture", "infeasible")]


def made_up(cells: list[tuple[str, str]], each: int) -> dict[tuple[str, str], list[RatedEdit]]:
    return {cell: [RatedEdit(*cell, f"x/{number}#0", "0" * 64) for number in range(each)] for cell in cells}


def test_edits_are_those_that_training_may_use(finished_study: Path) -> None:
    accepted = read_edits(["color", "texture"], ["feasible", "infeasible"], exhausted=False)
    assert list(accepted) == CELLS
    assert [len(edits) for edits in accepted.values()] == [5] * 4  # one of six is exhausted
    assert len(read_edits(["color"], ["feasible"], exhausted=True)["color", "feasible"]) == 6
    item, path = next(iter(accepted["color", "infeasible"].items()))
    assert item.sha256 == sha256_file(path) and path.is_relative_to("data/edits/color/infeasible")


@pytest.mark.parametrize("path", ["/etc/passwd", "data/edits/color/feasible/../../../x.png", "data/edits/color/x.png"])
def test_a_path_out_of_the_cells_folder_is_refused(finished_study: Path, path: str) -> None:
    manifest = paths.edit_folder("color", "feasible") / "manifest.parquet"
    first, *others = read_manifest(manifest)
    write_manifest(manifest, [dataclasses.replace(first, path=path, status="accepted"), *others])
    with pytest.raises(UserError, match="leads out of data/edits/color/feasible"):
        read_edits(["color"], ["feasible"], exhausted=False)


def test_the_choice_is_balanced_and_a_larger_one_adds_to_a_smaller() -> None:
    cells = made_up(CELLS, 30)
    chosen = choose(cells, 40, seed=0)
    assert Counter((item.attribute, item.feasibility) for item in chosen) == dict.fromkeys(CELLS, 10)
    assert choose(cells, 60, seed=0)[:40] == chosen
    assert set(choose(made_up(CELLS[:2], 30), 20, seed=0)) == {item for item in chosen if item.attribute == "color"}
    assert chosen != choose(cells, 40, seed=1)


def test_a_cell_that_runs_out_leaves_its_turns_to_others() -> None:
    cells = made_up(CELLS[:1], 2) | made_up(CELLS[1:2], 9)
    assert Counter(item.feasibility for item in choose(cells, 8, seed=0)) == {"feasible": 2, "infeasible": 6}
    assert len(choose(cells, 100, seed=0)) == 11


def test_each_rater_has_an_order_of_their_own_that_does_not_depend_on_the_input() -> None:
    items = choose(made_up(CELLS, 10), 40, seed=0)
    anna = in_order_for("anna", items, 0)
    assert sorted(anna) == sorted(items) and anna != in_order_for("ben", items, 0)
    assert in_order_for("anna", items[::-1], 0) == anna
    fewer = set(items[:20])
    assert in_order_for("anna", items[:20], 0) == [item for item in anna if item in fewer]


def test_a_picture_is_shown_without_what_its_file_says_beside_pixels(tmp_path: Path) -> None:
    note = PngImagePlugin.PngInfo()
    note.add_text("prompt", "an infeasible aircraft of lava")
    path = tmp_path / "edit.png"
    Image.new("RGB", (4, 3), (9, 8, 7)).save(path, pnginfo=note)
    data = picture_bytes(RatedEdit("color", "infeasible", "x/0#0", sha256_file(path)), path)
    assert b"lava" in path.read_bytes() and b"lava" not in data
    (tmp_path / "shown.png").write_bytes(data)
    assert (read_image(tmp_path / "shown.png") == (9, 8, 7)).all()


def test_a_picture_that_is_not_the_manifests_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "edit.png"
    with pytest.raises(UserError, match="is missing"):
        picture_bytes(RatedEdit("color", "feasible", "x/0#0", "0" * 64), path)
    Image.new("RGB", (4, 3)).save(path)
    with pytest.raises(UserError, match="not the one its manifest names"):
        picture_bytes(RatedEdit("color", "feasible", "x/0#0", "0" * 64), path)
