"""How often networks are called for an accepted edit: the cost of a full-size run, counted without its GPU.

    python -m benchmarks.calls [--photos 4] [--group study=original]

Random networks of the full-size architectures, a few pixels small (`models=tiny`), edit miniature pets by the study's
own steps and strengths, and every call is counted. What a call costs at full size is in docs/full_size.md. How many
attempts an edit takes is the random judge's own; what an attempt takes is not.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import click
from dvc.utils.hydra import compose_and_dump
from tests.datasets.published_layouts import oxford_pets
from tests.tiny_checkpoints import save_all
from tests.tiny_study import run_stages

from varireal import paths
from varireal.base.manifest import Attribute, Feasibility, iterate_manifest
from varireal.config import Params, load_params
from varireal.editing.cell import build_engine, build_run, plan_jobs
from varireal.previewing.probe import ProbedEngine
from varireal.prompts import PromptTable, load_prompts

ROOT = Path(__file__).parents[1]
CLASSES = 3  # of the miniature
# everything as models=sdxl but for the size of networks and pictures: batches, steps and attempts are the study's
SETTINGS = [
    "dataset=oxford_pets", "models=tiny", "dataset.complete=false", "dataset.val_per_class=1", "segment.source=dataset",
    "edit.edits_per_photo=5", "edit.prior.bank_size=4", "edit.inpaint.num_inference_steps=null",
    "edit.refine.num_inference_steps=null", "filter.max_attempts=3", "compute.device=cpu", "compute.dtype=float32",
    "compute.num_threads=1", "compute.workers=1",
]  # fmt: skip


def count_cell(params: Params, table: PromptTable, attribute: Attribute, feasibility: Feasibility) -> dict[str, Any]:
    """Return the calls of all edits of a cell, with their pictures of values, and how many were accepted."""
    plan = plan_jobs(params, table, lambda: iterate_manifest(paths.MASKS_MANIFEST), attribute, feasibility)
    count, specs = plan.survey()
    engine = ProbedEngine(build_engine(params, attribute))
    run = build_run(params, table, specs, attribute, feasibility, engine, plan.wordings)
    run.prepare(specs)
    drawn = engine.take().uses
    edits = list(run.finish(plan, count, f"{attribute} {feasibility}"))
    uses = engine.take().uses
    used = {name: use.rows for name, use in uses.items() if name != "judge"}
    if judge := uses.get("judge"):
        used |= {"judge, tokens read": judge.tokens, "judge, tiles of pictures looked at": judge.looks}
    return {
        "edits": len(edits),
        "attempts": sum(len(edit.attempts) for edit in edits),
        "accepted": sum(edit.status == "accepted" for edit in edits),
        "used": used,
        "values": {"count": len(specs), **{name: use.rows for name, use in drawn.items()}},
    }


def count_all(photos: int, groups: tuple[str, ...]) -> dict[str, Any]:
    """Return the counts of every cell of miniature pets."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_all(folder / "models" / "tiny")
        oxford_pets(folder / "data" / "raw" / "oxford_pets", train=photos + 1, test=1)
        (folder / "data" / "banks").symlink_to(ROOT / "data" / "banks")
        chosen = [*groups, *SETTINGS, f"dataset.train_per_class={photos}"]
        plugins = str(ROOT / ".dvc" / "plugins")
        compose_and_dump(folder / "params.yaml", str(ROOT / "conf"), None, "config.yaml", plugins, chosen)
        os.environ["DVC_ROOT"] = name
        with contextlib.chdir(folder):
            run_stages([["prepare"], ["prompt"], ["segment"]])
            params, table = load_params(paths.PARAMS), load_prompts(paths.PROMPTS)
            return {
                f"{attribute} {feasibility}": count_cell(params, table, attribute, feasibility)
                for attribute in params.grid.attributes
                for feasibility in params.grid.feasibilities
            }


@click.command()
@click.option("--photos", type=click.IntRange(min=1), default=4, show_default=True, help="Of each of three classes.")
@click.option("--group", "groups", multiple=True, default=("study=original",), show_default=True, help="Of conf/.")
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write the counts there too.")
def main(photos: int, groups: tuple[str, ...], path: Path | None) -> None:
    """Print a row a network: items or tokens an attempt, and an accepted edit, of all cells together."""
    cells = count_all(photos, groups)
    attempts, accepted = (sum(cell[what] for cell in cells.values()) for what in ("attempts", "accepted"))
    print(f"{sum(cell['edits'] for cell in cells.values())} edits, {attempts} attempts, {accepted} accepted")
    names = list(dict.fromkeys(name for cell in cells.values() for name in cell["used"]))
    print("| network | an attempt | an accepted edit |\n| --- | --- | --- |")
    for name in names:
        total = sum(cell["used"].get(name, 0) for cell in cells.values())
        print(f"| {name} | {total / attempts:.2f} | {total / accepted:.2f} |")
    if path:
        path.write_text(json.dumps(cells, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
