"""Draws docs/edits.png from the edits of the last run: `python docs/edits.py` in the repository's root.

Three photos, each with its mask, prior and edit, for every attribute and feasibility. The photos are drawn by seed, not
chosen by eye.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from varireal import paths
from varireal.base.files import read_image
from varireal.base.manifest import ATTRIBUTES, FEASIBILITIES, ImageRecord, read_manifest
from varireal.base.seeding import generator

PHOTOS = 3
PANELS = ("photo", "mask", "prior", "edit")


def panel(name: str, edit: ImageRecord) -> np.ndarray:
    """Return one picture of an edit's row: uint8 (H, W, 3)."""
    paths = {"photo": edit.photo_path, "mask": edit.mask_path, "prior": edit.prior_path, "edit": edit.path}
    return read_image(Path(str(paths[name])))


def main() -> None:
    """Write the sheet."""
    rows = [(attribute, feasibility) for attribute in ATTRIBUTES for feasibility in FEASIBILITIES]
    figure, axes = plt.subplots(len(rows), PHOTOS * len(PANELS), figsize=(16, 9), constrained_layout=True)
    for line, (attribute, feasibility) in zip(axes, rows):
        edits = [
            edit
            for edit in read_manifest(paths.edit_folder(attribute, feasibility) / "manifest.parquet")
            if edit.status == "accepted"
        ]
        chosen = generator("sheet", attribute, feasibility).choice(len(edits), PHOTOS, replace=False)
        for position, axis in enumerate(line):
            edit, name = edits[chosen[position // len(PANELS)]], PANELS[position % len(PANELS)]
            axis.imshow(panel(name, edit))
            axis.set_title(edit.value if name == "edit" else name, fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
        line[0].set_ylabel(f"{attribute}\n{feasibility}", fontsize=10)
    figure.savefig("docs/edits.png", dpi=90)


if __name__ == "__main__":
    main()
