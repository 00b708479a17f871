from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from click.testing import CliRunner

from varireal import paths
from varireal.base.files import read_json
from varireal.base.manifest import read_manifest, write_manifest
from varireal.stages.mix import command


def mix(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the stage as DVC does; the last line of its output says whether torch was imported."""
    code = (
        "import atexit, runpy, sys; atexit.register(lambda: print('torch' in sys.modules)); "
        "sys.argv.insert(1, 'mix'); runpy.run_module('varireal', run_name='__main__')"
    )
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


def test_the_stage_writes_manifests_and_metrics_without_importing_torch(workspace):
    done = mix("--attribute", "color")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
    figures = read_json(paths.mixes_figures("color"))
    expected = {"feasible": 0, "infeasible": 12, "mixed": 6}  # infeasible ones of 12 images
    assert list(figures) == list(expected)
    for condition, infeasible in expected.items():
        rows = read_manifest(paths.mix_folder("color", condition) / "manifest.parquet")
        assert sum(row.feasibility == "infeasible" for row in rows) == infeasible and len(rows) == 12
        assert figures[condition]["infeasible_share"] == infeasible / 12


def test_a_class_that_lost_all_its_edits_ends_in_one_line(workspace):
    path = paths.edit_folder("color", "infeasible") / "manifest.parquet"
    lost = [
        dataclasses.replace(row, status="exhausted") if row.class_name == "glider" else row
        for row in read_manifest(path)
    ]
    write_manifest(path, lost)
    done = mix("--attribute", "color")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "glider" in done.stderr and "color infeasible" in done.stderr
    assert not paths.mixes_folder("color").exists() and not paths.mixes_figures("color").exists()


def test_controls_of_harm_have_the_feasible_edits_with_wrong_labels(workspace, change_params):
    change_params("grid.controls", ["harm-20"])
    change_params("grid.control_attributes", ["color"])
    mixed()
    feasible, harm = (
        read_manifest(paths.mix_folder("color", name) / "manifest.parquet") for name in ("feasible", "harm-20")
    )
    assert [row.image_id for row in harm] == [row.image_id for row in feasible]
    assert sum(a.class_index != b.class_index for a, b in zip(feasible, harm)) == 2  # 2.4 of 12
    figures = read_json(paths.mixes_figures("color"))
    assert (figures["harm-20"]["wrong_labels"], figures["harm-20"]["infeasible_share"]) == (2, 0.0)
    assert figures["harm-20"]["wrong_label_share"] == 2 / 12
    assert "wrong_labels" not in figures["feasible"]


@pytest.mark.parametrize("ratio", [0.0, 0.25, 1.0])
def test_another_ratio_changes_the_mixed_set_alone(workspace, change_params, ratio):
    change_params("grid.controls", ["harm-20", "null-a", "null-b"])
    change_params("grid.control_attributes", ["color"])
    before = mixed()
    change_params("mix.ratio", ratio)
    after = mixed()
    assert before.keys() == after.keys() == {"feasible", "infeasible", "mixed", "harm-20", "null-a", "null-b"}
    assert {name for name in before if before[name] != after[name]} == {"mixed"}


def test_an_attribute_without_controls_has_none(workspace, change_params):
    change_params("grid.attributes", ["background", "color"])
    change_params("grid.controls", ["harm-20"])
    change_params("grid.control_attributes", ["background"])
    assert mixed().keys() == {"feasible", "infeasible", "mixed"}


def test_what_an_earlier_larger_grid_mixed_goes(workspace, change_params):
    mixed()
    change_params("grid.conditions", ["feasible"])
    assert mixed().keys() == read_json(paths.mixes_figures("color")).keys() == {"feasible"}


def mixed() -> dict[str, bytes]:
    """Run the stage; return the manifest of each training set."""
    CliRunner().invoke(command, ["--attribute", "color"], catch_exceptions=False)
    folder = paths.mixes_folder("color")
    return {path.parent.name: path.read_bytes() for path in sorted(folder.glob("*/manifest.parquet"))}
