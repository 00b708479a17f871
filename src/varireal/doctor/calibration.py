"""A short run of the costly parts on a few photos: what `varireal doctor --calibrate` measures.

Every part runs in a process of its own, as DVC runs stages, so that its start and the loading of its networks are in
the figures, and its memory is free again for the next. Nothing is written outside of a temporary folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from varireal import paths
from varireal.base.files import read_json, write_json
from varireal.base.manifest import write_manifest
from varireal.compute.progress import progress
from varireal.doctor.estimate import (
    Calibration,
    EditPace,
    Pace,
    TrainingPace,
    estimate_disk,
    estimate_findings,
    estimate_parts,
)
from varireal.doctor.findings import Finding
from varireal.doctor.sample import PARAMS, PHOTOS, PROMPTS, RESULT, write_sample
from varireal.editing.jobs import assign_values
from varireal.errors import UserError
from varireal.prompts import SOURCES, load_prompts

if TYPE_CHECKING:
    from varireal.base.manifest import Attribute, Feasibility, ImageRecord
    from varireal.config import Params
    from varireal.datasets.base import Dataset
    from varireal.doctor.examination import Examination
    from varireal.prompts import PromptTable

COMMAND = ("-m", "varireal", "calibrate-part")  # run as a program, a part at a time


def estimate_run(params: Params, examination: Examination) -> list[Finding]:
    """Run the parts on a sample and return what the whole run would take.

    Raises:
        UserError: something is missing, would have to be downloaded first, or fails.
    """
    _check_ready(examination)
    dataset, work = examination.dataset, examination.work
    assert dataset is not None and work is not None
    table = _prompts(params, dataset)
    cells = _distinct_cells(work.denoising_steps)
    with (
        tempfile.TemporaryDirectory(prefix="varireal-calibration-") as name,
        progress("calibrate", 2 + len(set(cells.values()))) as advance,
    ):
        folder = Path(name)
        written = write_sample(params, dataset, table, folder)
        masks = _masks(folder)
        advance(1)
        made: dict[str, EditPace] = {}
        for cell in dict.fromkeys(cells.values()):
            made[cell] = _edits(folder, cell)
            advance(1)
        training = _training(folder)
        advance(1)
    measured = Calibration(**written, **masks, edits={cell: made[cells[cell]] for cell in cells}, training=training)
    photos = [
        (photo.image_id, table.classes[photo.class_index]) for photo in dataset.photos() if photo.split == "train"
    ]
    values = {cell: count_values(params, table, *_parts_of(cell), photos) for cell in cells}
    passed = {cell: made[cell].passed for cell in made}
    needed = estimate_disk(work, values, measured, params.edit.save_rejected)
    return estimate_findings(
        estimate_parts(params, work, values, measured), needed, passed, shutil.disk_usage(Path()).free
    )


def _check_ready(examination: Examination) -> None:
    if missing := examination.missing:
        raise UserError(f"nothing can be calibrated: {missing[0].name} is missing ({missing[0].found}); run "
                        "`varireal doctor` for all that is missing")  # fmt: skip
    if examination.dataset is None or examination.work is None:
        raise UserError("nothing can be calibrated without the photos; run `varireal prepare`, which downloads them")
    for finding in examination.findings:
        if finding.part == "checkpoints" and finding.status == "note":
            raise UserError(
                f"{finding.name} cannot be calibrated before it is here ({finding.found}); download it, for instance "
                "with `hf download`"
            )


def _prompts(params: Params, dataset: Dataset) -> PromptTable:
    """Return the lists of the bank or the study, or those that a language model gave when the stage prompt ran."""
    if params.prompt.source in ("bank", "study"):
        needed = dict.fromkeys(params.grid.attributes, params.grid.feasibilities)
        source = SOURCES[params.prompt.source](params.prompt, params.compute, params.seed)
        return source.table(dataset.classes, params.dataset.domain_word, needed)
    if not paths.PROMPTS.is_file():
        raise UserError(f"{paths.PROMPTS} is not there to calibrate with; run `varireal prompt` first")
    return load_prompts(paths.PROMPTS)


def _distinct_cells(steps: Mapping[str, int]) -> dict[str, str]:
    """Map each cell to the one that is timed for it: of the same attribute, with as many denoising steps."""
    first: dict[tuple[str, int], str] = {}
    return {cell: first.setdefault((cell.split()[0], steps[cell]), cell) for cell in steps}


def _parts_of(cell: str) -> tuple[Attribute, Feasibility]:
    """Return attribute and feasibility of a cell such as "color feasible"."""
    attribute, feasibility = cell.split()
    return cast("Attribute", attribute), cast("Feasibility", feasibility)


def count_values(
    params: Params,
    table: PromptTable,
    attribute: Attribute,
    feasibility: Feasibility,
    photos: Iterable[tuple[str, str]],
) -> int:
    """Return how many different values the edits of a cell will have at most, as the stage edit draws them.

    Args:
        photos: name and class of each photo for training.
    """
    lists = {name: table.specs(attribute, feasibility, name) for name in table.classes}
    every, used = set().union(*lists.values()), set()
    for image_id, class_name in photos:
        of_photo = (params.seed, image_id, attribute, feasibility)
        used.update(assign_values(lists[class_name], params.edit.edits_per_photo, *of_photo))
        if len(used) == len(every):
            break
    return len(used)


def _masks(folder: Path) -> dict[str, Any]:
    clocked, wall = _run(folder, "masks")
    return {"masks": _pace(clocked["masks"], wall, clocked["batch"]), "mask_bytes": clocked["bytes"]}


def _edits(folder: Path, cell: str) -> EditPace:
    attribute, feasibility = _parts_of(cell)
    clocked, wall = _run(folder, "edits", "--attribute", attribute, "--feasibility", feasibility)
    edits = _pace(clocked["edits"], wall - clocked["pictures"]["seconds"], clocked["batch"])
    pictures = _pace(clocked["pictures"], 0.0, 1)
    return EditPace(edits, pictures, clocked["passed"], clocked["edit_bytes"], clocked["value_bytes"])


def _training(folder: Path) -> TrainingPace:
    clocked, wall = _run(folder, "training")
    fixed = max(0.0, wall - clocked.pop("seconds"))
    sizes = {name: round(clocked.pop(name)) for name in ("image_bytes", "adapter_bytes")}
    return TrainingPace(fixed=fixed, **clocked, **sizes)


def time_training_apart(params: Params, photos: Sequence[ImageRecord], table: PromptTable) -> TrainingPace:
    """Do a few steps of training on photos, in a process of its own, and return its pace.

    Raises:
        UserError: it failed; the message is its own.
    """
    with tempfile.TemporaryDirectory(prefix="varireal-training-") as name:
        folder = Path(name)
        write_manifest(folder / PHOTOS, sorted(photos, key=lambda photo: photo.image_id))
        write_json(folder / PROMPTS, table.to_json())
        (folder / PARAMS).write_text(yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8")
        return _training(folder)


def _pace(busy: dict[str, Any], wall: float, batch: int) -> Pace:
    return Pace(max(0.0, wall - busy["seconds"]), busy["per_item"], busy["workers"], batch)


def _run(folder: Path, *part: str) -> tuple[dict[str, Any], float]:
    """Run a part, and return what it measured and its seconds from beginning to end.

    Raises:
        UserError: it failed; the message is its own.
    """
    name, *options = part
    command = [sys.executable, *COMMAND, name, str(folder), "--params", str(folder / PARAMS), *options]
    start = time.perf_counter()
    ended = subprocess.run(
        command, env={**os.environ, "DVC_ROOT": str(folder)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, check=False,
    )  # fmt: skip
    wall = time.perf_counter() - start
    if ended.returncode:
        raise UserError(f"the calibration of {' '.join(part[::2])} failed: {_reason(ended.stderr)}")
    result = read_json(folder / RESULT)
    (folder / RESULT).unlink()
    return result, wall


def _reason(errors: str) -> str:
    """Return the last line that a failed process wrote."""
    lines = [line for line in errors.splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else "it said nothing"
