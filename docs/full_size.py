"""Print the table of docs/doctor.md: hours of one H100 for pets, from stated costs of single steps.

python docs/full_size.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from varireal.config import Params
from varireal.doctor.stated import H100, stated_hours
from varireal.doctor.work import Work, count_work

ROOT = Path(__file__).parents[1]
PHOTOS = {"train": 3128, "val": 552, "test": 3669}  # val_share 0.15 of 3,680
CLASSES, STEPS = 37, 1000
REFINE = {  # only named, so that the steps count; nothing is loaded
    "checkpoint": "SG161222/RealVisXL_V4.0",
    "controlnet": {"checkpoint": "diffusers/controlnet-canny-sdxl-1.0"},
    "ip_adapter": {"checkpoint": "h94/IP-Adapter", "weight_name": "ip-adapter-plus_sdxl_vit-h.safetensors"},
}


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``over``, section by section."""
    both = {key: merged(base[key], over[key]) for key in base.keys() & over.keys() if isinstance(base[key], dict)}
    return {**base, **over, **both}


def pets() -> Work:
    """Return the work of the study on pets: its recipes, five edits a photo and cell, the default grid."""
    raw = merged(
        *(yaml.safe_load((ROOT / name).read_text()) for name in ("params.yaml", "conf/dataset/oxford_pets.yaml"))
    )
    raw["edit"] = merged(raw["edit"], {"edits_per_photo": 5, "prior": {"checkpoint": "a/b"}, "refine": REFINE})
    raw["train"] = {"max_steps": STEPS}  # everything else as in the study
    return count_work(Params.model_validate(raw), PHOTOS)


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
