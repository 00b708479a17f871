"""Print the table of docs/doctor.md: hours of one H100 for pets, from stated costs of single steps.

python docs/full_size.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from dvc.utils.hydra import compose_and_dump

from varireal.config import load_params
from varireal.doctor.workload import H100, Workload, count_workload, stated_hours

ROOT = Path(__file__).parents[1]
PHOTOS = {"train": 3128, "val": 552, "test": 3669}  # val_share 0.15 of 3,680
CLASSES = 37


def pets() -> Workload:
    """Return the work of `dvc exp run -S dataset=oxford_pets -S models=sdxl`."""
    with tempfile.TemporaryDirectory() as folder:
        composed = Path(folder, "params.yaml")
        chosen = ["dataset=oxford_pets", "models=sdxl"]
        compose_and_dump(composed, str(ROOT / "conf"), None, "config.yaml", str(ROOT / ".dvc/plugins"), chosen)
        return count_workload(load_params(composed), PHOTOS)


def main() -> None:
    """Print the table."""
    work = pets()
    print(f"{work.edits:,} edits, {work.edits_per_cell * sum(work.denoising_steps.values()):,} denoising steps,")
    print(f"{work.fine_tunings} fine-tunings of {work.steps:,} steps, {work.models} models tested")
    once, most = (stated_hours(work, CLASSES, H100, attempts) for attempts in (1.0, float(work.max_attempts)))
    for part, hours in once.items():
        print(f"| {part} | {hours:.1f} | {most[part]:.1f} |")
    print(f"| all | {sum(once.values()):.1f} | {sum(most.values()):.1f} |")


if __name__ == "__main__":
    main()
