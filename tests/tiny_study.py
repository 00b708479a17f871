"""A whole study of one's own photos that takes seconds: three classes, the attribute color, pasted edits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from click.testing import CliRunner
from PIL import Image

from varireal import paths
from varireal.cli import main
from varireal.compute.processes import available_cores

REPOSITORY = Path(__file__).parents[1]
SIDE = 32
TONES = ((210, 70, 60), (60, 200, 80), (70, 80, 210))
PER_SPLIT = {"train": 3, "val": 2, "test": 3}
BANK = {
    "color": {
        "feasible": {"all": [{"name": "grey", "phrase": "grey", "rgb": [128, 128, 128]}]},
        "infeasible": {"all": [{"name": "lime", "phrase": "lime", "rgb": [150, 250, 0]}]},
    }
}
CELLS = [["--attribute", "color", "--feasibility", kind] for kind in ("feasible", "infeasible")]
CONDITIONS = [["--attribute", "color", "--condition", kind] for kind in ("feasible", "infeasible", "mixed")]
TO_MIX = [["prepare"], ["prompt"], ["segment"], *(["edit", *c] for c in CELLS), ["mix", "--attribute", "color"]]
TO_REPORT = [
    *TO_MIX,
    ["measure"],
    ["train", "--real-only"],
    *(["train", *c] for c in CONDITIONS),
    ["evaluate"],
    ["report"],
]


def make_study(
    clip: Path,
    root: str = "photos",
    masks: str = "masks",
    classes: Sequence[str] = ("a", "b", "c"),
    source: Path = REPOSITORY,
) -> None:
    """Write photos, masks, a bank and the settings of a checkout as params.yaml into the current folder."""
    for index, name in enumerate(classes):
        for split, count in PER_SPLIT.items():
            for number in range(count):
                _photo(Path(root, split, name), Path(masks, split, name), f"photo {number}.png", index)
    Path("bank.yaml").write_text(yaml.safe_dump(BANK), encoding="utf-8")
    params = yaml.safe_load((source / "params.yaml").read_text(encoding="utf-8"))
    shares = {"val_share": 0.2, "test_share": 0.2}
    params["dataset"] = {"name": "image_folder", "domain_word": "thing", "root": root, "masks_root": masks, **shares}
    params["dataset"] |= {"min_side": SIDE, "max_side": None, "on_bad_image": "error"}
    params["prompt"]["bank"] = "bank.yaml"
    params["segment"] |= {"source": "dataset", "batch_size": 2}
    params["edit"] |= {"method": "paste", "edits_per_photo": 2}
    params["edit"]["inpaint"] |= {"image_size": SIDE, "batch_size": 4}
    params["filter"] = {"name": "none"}
    params["clip"] = {"model": f"local-dir:{clip}", "pretrained": None}
    params["train"] |= {"max_steps": 2, "batch_size": 4, "eval_every": 1}
    params["grid"] |= {"attributes": ["color"], "seeds": [0]}
    if "controls" in params["grid"]:  # as earlier revisions have none
        params["grid"]["controls"] = []
    params["compute"] |= {"device": "cpu", "num_threads": available_cores()}  # so many that one process does it all
    paths.PARAMS.write_text(yaml.safe_dump(params, allow_unicode=True), encoding="utf-8")


def _photo(folder: Path, masks: Path, name: str, index: int) -> None:
    for where in (folder, masks):
        where.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([index, *f"{folder.name}/{folder.parent.name}/{name}".encode()])
    pixels = np.clip(rng.normal(0, 25, (SIDE, SIDE, 3)) + TONES[index % len(TONES)], 0, 255)
    Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[6:26, 4:28] = 255
    Image.fromarray(mask).save(masks / name)


def change(**values: Any) -> None:
    """Change settings of params.yaml, named by their keys with `__` for the dots."""
    params = yaml.safe_load(paths.PARAMS.read_text(encoding="utf-8"))
    for key, value in values.items():
        *sections, last = key.split("__")
        section = params
        for name in sections:
            section = section[name]
        section[last] = value
    paths.PARAMS.write_text(yaml.safe_dump(params, allow_unicode=True), encoding="utf-8")


def run_stages(stages: Sequence[Sequence[str]]) -> None:
    """Run stages by their commands, in this process; a failure is raised."""
    for stage in stages:
        result = CliRunner().invoke(main, list(stage))
        if result.exception:
            raise result.exception
