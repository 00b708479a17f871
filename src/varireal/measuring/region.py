"""The region that an edit may change, as the settings in its manifest row tell it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from varireal.base.manifest import ImageRecord
from varireal.editing.pixels import edited_region
from varireal.errors import UserError


@dataclasses.dataclass(frozen=True)
class RegionSettings:
    """How far the region reaches beyond the mask, in pixels of a square of side ``image_size`` that the photo fits."""

    dilation: float
    image_size: int | None  # None: the photo's own pixels
    known: bool  # false where the square is the checkpoint's own, whose side the manifest does not hold


def region_settings(edit: ImageRecord) -> RegionSettings:
    """Return the settings of an edit's region.

    Raises:
        UserError: its row holds no settings of an editor.
    """
    try:
        settings = json.loads(str(edit.settings))
        dilation = float(settings["recipe"]["dilation"])
        painted = settings.get("inpaint")  # method diffusion
        size = settings.get("lengths_at") or (painted["image_size"] if painted else settings["image_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"the settings of edit {edit.image_id} hold no region; make the edits anew") from error
    return RegionSettings(dilation, size, known=not (painted and size is None and dilation))


def region_of(edit: ImageRecord, mask: np.ndarray) -> np.ndarray | None:
    """Return what the edit may change, bool (H, W) like the mask, or None where that is not known.

    Raises:
        UserError: as for :func:`region_settings`.
    """
    settings = region_settings(edit)
    if not settings.known:
        return None
    scale = max(mask.shape) / settings.image_size if settings.image_size else 1.0
    return edited_region(str(edit.attribute), mask, settings.dilation * scale)
