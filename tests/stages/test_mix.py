from __future__ import annotations

import dataclasses
import subprocess
import sys

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


def test_the_stage_writes_manifest_and_metrics_without_importing_torch(workspace):
    done = mix("--attribute", "color", "--condition", "mixed")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
    rows = read_manifest(paths.mix_folder("color", "mixed") / "manifest.parquet")
    assert sum(row.feasibility == "infeasible" for row in rows) == 6 and len(rows) == 12
    assert read_json(paths.METRICS / "mix" / "color_mixed.json")["infeasible_share"] == 0.5


def test_a_class_that_lost_all_its_edits_ends_in_one_line(workspace):
    path = paths.edit_folder("color", "infeasible") / "manifest.parquet"
    lost = [
        dataclasses.replace(row, status="exhausted") if row.class_name == "glider" else row
        for row in read_manifest(path)
    ]
    write_manifest(path, lost)
    done = mix("--attribute", "color", "--condition", "feasible")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "glider" in done.stderr and "color infeasible" in done.stderr
    assert not paths.mix_folder("color", "feasible").exists()


def test_a_control_of_harm_has_the_feasible_edits_with_wrong_labels(workspace):
    for condition in ("feasible", "harm-20"):
        done = CliRunner().invoke(command, ["--attribute", "color", "--condition", condition], catch_exceptions=False)
        assert done.exit_code == 0
    feasible, harm = (
        read_manifest(paths.mix_folder("color", name) / "manifest.parquet") for name in ("feasible", "harm-20")
    )
    assert [row.image_id for row in harm] == [row.image_id for row in feasible]
    assert sum(a.class_index != b.class_index for a, b in zip(feasible, harm)) == 2  # 2.4 of 12
    figures = read_json(paths.METRICS / "mix" / "color_harm-20.json")
    assert (figures["wrong_labels"], figures["infeasible_share"]) == (2, 0.0)
    assert figures["wrong_label_share"] == 2 / 12


def test_null_controls_do_not_depend_on_the_ratio(workspace, change_params):
    change_params("mix.ratio", 0.25)
    for condition in ("null-a", "null-b"):
        CliRunner().invoke(command, ["--attribute", "color", "--condition", condition], catch_exceptions=False)
        assert read_json(paths.METRICS / "mix" / f"color_{condition}.json")["infeasible_share"] == 0.5


def test_another_name_is_refused_with_what_is_allowed(workspace):
    done = CliRunner().invoke(command, ["--attribute", "color", "--condition", "harm-200"])
    assert done.exit_code == 2
    assert "'harm-200' is none of feasible, infeasible, mixed, and no control: harm-1 to harm-99" in done.output
