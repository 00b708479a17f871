"""What an edit costs beside its networks, with an editor that costs nothing; and what mixing a million rows costs.

    python benchmarks/bookkeeping.py

Everything of a real run is there: photos' records, masks, keys, the store of finished work, attempts, shards, manifest.
Only the picture is the same one each time. Every measurement has a process of its own, for its peak memory.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from varireal.base.files import encode_png, json_bytes, sha256_bytes, write_json
from varireal.base.manifest import ImageRecord, manifest_writer
from varireal.base.seeding import generator
from varireal.config import ComputeConfig, EditConfig, FilterConfig, load_params

Work = Callable[[int, Path], dict[str, float]]
ROOT = Path(__file__).parents[1]
SIDE, EDITS_PER_PHOTO, CLASSES = 32, 5, 10
BATCH = 16


class FreeEditor:
    """Returns the same pictures at once."""

    identity: dict[str, object] = {"method": "free"}  # noqa: RUF012 - never changed

    def __init__(self) -> None:
        self._picture = generator("benchmark picture").integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)

    def load(self) -> None: ...

    def edit(self, jobs: Sequence[Any], seeds: Sequence[int]) -> list[Any]:
        """Return a finished draft for every job."""
        from varireal.editing.drafts import Draft

        inside = np.zeros((SIDE, SIDE), bool)
        picture = self._picture
        return [
            Draft(job, seed, picture, inside, inside, inside, 1.0, None, picture, picture, picture)
            for job, seed in zip(jobs, seeds)
        ]


def photos(count: int, folder: Path) -> Iterator[ImageRecord]:
    """Yield the records of photos that share one file and one mask, sorted as a manifest is."""
    for number in range(count):
        name = f"class-{number * CLASSES // count}"
        photo_id = f"{name}/{number:07d}"
        yield ImageRecord(
            photo_id, str(folder / "photo.png"), "photo", "train", name, int(name[-1]), SIDE, SIDE,
            sha256_bytes(photo_id.encode()), photo_id, mask_path=str(folder / "mask.png"),
        )  # fmt: skip


def edit(count: int, folder: Path) -> dict[str, float]:
    """Make ``count`` edits, or find them finished, and write the cell's outputs, as the stage does.

    Returns the wall seconds of the former.
    """
    from varireal.base.files import staged_folder
    from varireal.compute.engines import ENGINES
    from varireal.editing.filters import FILTERS
    from varireal.editing.jobs import JobPlan
    from varireal.editing.outputs import CellFigures, write_cell
    from varireal.editing.run import EditRun
    from varireal.prompts import AttributeSpec, PromptTable

    classes = [f"class-{number}" for number in range(CLASSES)]
    specs = [AttributeSpec(name=f"tone {k}", phrase=f"tone {k}", rgb=(k, k, k)) for k in range(8)]
    lists = {"color": {"feasible": dict.fromkeys(classes, specs)}}
    table = PromptTable(domain_word="thing", classes=classes, attributes=lists)
    jobs = JobPlan(
        lambda: photos(count // EDITS_PER_PHOTO, folder),
        table,
        attribute="color",
        feasibility="feasible",
        edits_per_photo=EDITS_PER_PHOTO,
        seed=0,
    )
    compute = ComputeConfig(device="cpu", workers=1)
    run = EditRun(
        FreeEditor(),
        FILTERS["none"](FilterConfig(name="none"), compute, table),
        None,
        ENGINES["local"](compute, ()),
        max_attempts=1,
        batch_size=BATCH,
        keep_priors=False,
    )
    config: EditConfig = load_params(ROOT / "params.yaml").edit.model_copy(update={"storage": "shards"})
    start = time.perf_counter()
    for _ in run.finish(jobs, count, "edit"):
        pass
    found = time.perf_counter() - start
    counted = CellFigures(run.thresholds)
    with staged_folder(folder / "cell") as staging:
        write_cell(staging, folder / "cell", run, counted.counting(run.finish(jobs, count, "write")), config)
    assert counted.result(jobs.failures)["edits"] == count
    return {"found": found}


def mix(rows: int, folder: Path) -> dict[str, float]:
    """Run the stage `mix` on two manifests of together ``rows`` rows: three conditions, no control."""
    from varireal.stages.mix import command

    os.chdir(folder)
    command.main(["--attribute", "color", "--params", "params.yaml"], standalone_mode=False)
    return {}


def write_manifests(rows: int, folder: Path) -> None:
    """Write what `mix` reads."""
    from varireal import paths

    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    classes = [f"class-{number}" for number in range(CLASSES)]
    write_json(folder / paths.DATASET_INFO, {"classes": classes})
    settings = json.dumps({"recipe": {"guidance_scale": 7.5, "steps": 30}, "checkpoint": "x" * 600}, sort_keys=True)
    each = rows // 2
    for feasibility in ("feasible", "infeasible"):
        path = folder / paths.edit_folder("color", feasibility) / "manifest.parquet"
        path.parent.mkdir(parents=True)
        with manifest_writer(path) as add:
            for photo in photos(each // EDITS_PER_PHOTO, folder):
                for index in range(EDITS_PER_PHOTO):
                    name = f"{photo.image_id}#color-{feasibility}-{index}"
                    add(dataclasses.replace(
                        photo, image_id=name, path=f"data/edits/color/{feasibility}/shards/000000.tar/{name}.png",
                        origin="edit", status="accepted", attribute="color", feasibility=feasibility, value="red",
                        prompt="a photo of a red thing", index=index, seed=index, settings=settings, key=photo.sha256,
                        attempts='[{"accepted": true, "scores": {"attribute": 0.9, "class": 0.8}, "seed": 1}]',
                    ))  # fmt: skip


def measured(work: Work, count: int, folder: Path) -> dict[str, float]:
    """Return the wall and processor seconds and the peak memory in bytes of a call in a fresh process."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_measure, args=(work, count, folder, there))
    process.start()
    there.close()
    found = here.recv()
    process.join()
    return found


def _measure(work: Work, count: int, folder: Path, answer: Any) -> None:
    os.environ["DVC_ROOT"] = str(folder)
    wall, processor = time.perf_counter(), time.process_time()
    found = work(count, folder)
    used = {**found, "wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
    answer.send({**used, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})


def prepare(folder: Path) -> None:
    """Write the photo and the mask that all records share."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[8:24, 8:24] = 255
    (folder / "mask.png").write_bytes(encode_png(mask))
    (folder / "photo.png").write_bytes(encode_png(np.full((SIDE, SIDE, 3), 128, np.uint8)))


@click.command()
@click.option("--counts", default="1000,10000,100000", show_default=True, help="Numbers of edits, separated by commas.")
@click.option("--rows", type=click.IntRange(min=100), default=1_000_000, show_default=True, help="Rows to mix.")
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures there too.")
def main(counts: str, rows: int, path: Path | None) -> None:
    """Print items a second, memory and the cost of taking up finished work, for growing numbers of edits."""
    figures: dict[str, Any] = {"edit": {}}
    for count in [int(part) for part in counts.split(",")]:
        with tempfile.TemporaryDirectory(dir=ROOT / ".work" if (ROOT / ".work").is_dir() else None) as name:
            prepare(Path(name))
            first = measured(edit, count, Path(name))
            again = measured(edit, count, Path(name))
        figures["edit"][count] = {"first": first, "again": again}
        print(
            f"{count:>7} edits: {count / first['wall']:7.0f} a second, {1e3 * first['processor'] / count:.2f} ms of "
            f"processor time each, {first['memory'] / 2**20:.0f} MiB"
        )
        print(f"        all finished before: found in {again['found']:.1f} s, with outputs {again['wall']:.1f} s")
    with tempfile.TemporaryDirectory() as name:
        write_manifests(rows, Path(name))
        figures["mix"] = {"rows": rows, **measured(mix, rows, Path(name))}
    print(f"mix of {rows} rows: {figures['mix']['wall']:.1f} s, {figures['mix']['memory'] / 2**20:.0f} MiB")
    if path:
        path.write_bytes(json_bytes(figures))


if __name__ == "__main__":
    main()
