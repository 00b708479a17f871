from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from varireal import layout
from varireal.cli import main
from varireal.errors import UserError


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_cell_trains_every_source_and_seed_and_a_second_run_makes_the_same_bytes(workspace):
    run("mix", "--attribute", "color", "--condition", "mixed")
    run("train", "--attribute", "color", "--condition", "mixed")
    first = files(layout.adapter_folder("color", "mixed"))
    assert sorted(first) == sorted(
        f"{source}/seed-{seed}/{name}"
        for source in ("synthetic", "real+synthetic")
        for seed in (0, 1)
        for name in ("adapter_model.safetensors", "adapter_config.json", "varireal.json")
    )
    metrics = json.loads((layout.METRICS / "train" / "color_mixed.json").read_text())
    assert len(metrics["runs"]) == 4
    assert [look["step"] for look in metrics["runs"][0]["curve"]] == [2, 4]
