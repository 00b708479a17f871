"""Which mask belongs to which photo, by their names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from varireal.base.file_kinds import same_name, shown
from varireal.datasets.folder_scan import check_folder
from varireal.datasets.folder_walk import walk_pictures
from varireal.errors import UserError

logger = logging.getLogger(__name__)


def find_masks(masks_root: str | None, photos: Sequence[Path]) -> dict[Path, Path]:
    """Return the mask files of photos, by the photos' names; empty when no folder of masks is given.

    A mask has its photo's relative name but for the suffix; names are compared with composed letters.

    Args:
        masks_root: ``dataset.masks_root``.
        photos: the photos' names, relative to their folder.

    Raises:
        UserError: the folder does not exist, two masks belong to one photo or two photos to one mask, or none belongs
            to any.
    """
    if masks_root is None:
        return {}
    root = check_folder("dataset.masks_root", masks_root)
    masks: dict[Path, Path] = {}
    for path in walk_pictures(root):
        key = same_name(path.relative_to(root).with_suffix(""))
        if key in masks:
            raise UserError(f"the masks {shown(masks[key])} and {shown(path)} belong to the same photo; remove one")
        masks[key] = path
    owners: dict[Path, Path] = {}
    for photo in photos:
        key = same_name(photo.with_suffix(""))
        if key in masks and (other := owners.setdefault(key, photo)) != photo:
            raise UserError(
                f"the mask {shown(masks[key])} fits two photos, {shown(other)} and {shown(photo)}; rename one of them, "
                "and give it a mask of its own"
            )
    found = {photo: masks[key] for key, photo in owners.items()}
    missing = [photo for photo in photos if photo not in found]
    others = [path for key, path in masks.items() if key not in owners]
    there = f", there is {shown(others[0])}" if others else ""
    if len(missing) == len(photos):
        raise UserError(
            f"no photo has a mask in {root}: expected for example {shown(root / missing[0].with_suffix('.png'))}"
            f"{there}; name masks as their photos, correct dataset.masks_root, or set it to null"
        )
    if missing:
        unused = f"; {len(others)} masks have no photo (the first: {shown(others[0])})" if others else ""
        logger.warning(
            "%d of %d photos have no mask (the first: %s)%s", len(missing), len(photos), shown(missing[0]), unused
        )
    return found
