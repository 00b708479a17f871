"""Print the table of docs/full_size.md: hours of one H100 for the groups of full-size models, by calculation.

python docs/full_size.py [--parts]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from dvc.utils.hydra import compose_and_dump

from varireal.config import Params, load_params
from varireal.doctor.estimate import mean_attempts
from varireal.doctor.hours import H100, stated_hours
from varireal.doctor.workload import Workload, count_workload

ROOT = Path(__file__).parents[1]
CLASSES = {"oxford_pets": 37, "fgvc_aircraft": 100, "stanford_cars": 196}
TRAINING = {"oxford_pets": 3680, "fgvc_aircraft": 3334, "stanford_cars": 8144}  # published photos
AIRCRAFT_VAL = 3333
TEST = {"oxford_pets": 3669, "fgvc_aircraft": 3333, "stanford_cars": 8041}
GROUPS = {
    "study": ["study=original"],
    "default": ["models=sdxl"],
    "fast": ["models=sdxl_fast"],
    "lean": ["models=sdxl", "scale=lean"],
    "lean and fast": ["models=sdxl_fast", "scale=lean"],
}
PASSING = 0.7  # assumed share of attempts that the judge accepts


def compose(dataset: str, group: str) -> Params:
    """Return the settings of `dvc exp run -S dataset=... -S ...`."""
    with tempfile.TemporaryDirectory() as folder:
        composed = Path(folder, "params.yaml")
        chosen = [f"dataset={dataset}", *GROUPS[group]]
        compose_and_dump(composed, str(ROOT / "conf"), None, "config.yaml", str(ROOT / ".dvc/plugins"), chosen)
        return load_params(composed)


def photos_of(dataset: str, params: Params) -> dict[str, int]:
    """Return the photos of each split."""
    data, published = params.dataset, TRAINING[dataset]
    if dataset == "fgvc_aircraft" and data.val_split == "published":
        val = AIRCRAFT_VAL
    else:
        published += AIRCRAFT_VAL if dataset == "fgvc_aircraft" else 0
        val = round(published * (data.val_share or 0))
        published -= val
    if data.train_per_class:
        published = min(published, data.train_per_class * CLASSES[dataset])
    return {"train": published, "val": val, "test": TEST[dataset]}


def count_values(dataset: str) -> int:
    """Return how many places and materials the bank has for all classes together: at most so many are drawn."""
    bank: Any = yaml.safe_load((ROOT / "data" / "banks" / f"{dataset}.yaml").read_text(encoding="utf-8"))
    return sum(
        len({value["name"] for values in bank[attribute][feasibility].values() for value in values})
        for attribute in ("background", "texture")
        for feasibility in ("feasible", "infeasible")
    )


def hours_of(dataset: str, group: str, attempts: float, readings: int = 1) -> tuple[Workload, dict[str, float]]:
    """Return the work of a run, and its hours by part."""
    params = compose(dataset, group)
    work = count_workload(params, photos_of(dataset, params))
    return work, stated_hours(params, work, CLASSES[dataset], count_values(dataset), H100, attempts, readings)


def main() -> None:
    """Print a row for every data set and group; with --parts the parts of each too."""
    attempts = mean_attempts(PASSING, 3)
    print(f"attempts an edit where {PASSING:.0%} pass: {attempts:.2f}")
    print("| data set | group | edits | fine-tunings × steps | all pass at once | 70 % pass | none passes |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for dataset in TRAINING:
        for group in GROUPS:
            work, once = hours_of(dataset, group, 1.0)
            totals = [sum(hours_of(dataset, group, each)[1].values()) for each in (attempts, float(work.max_attempts))]
            row = (dataset, group, f"{work.edits:,}", f"{work.fine_tunings} × {work.steps:,}")
            print(f"| {' | '.join(row)} | {sum(once.values()):.1f} | {totals[0]:.1f} | {totals[1]:.1f} |")
            if "--parts" in sys.argv:
                print("   ", ", ".join(f"{part} {hours:.2f}" for part, hours in once.items()))


if __name__ == "__main__":
    main()
