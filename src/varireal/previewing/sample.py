"""The photos of a preview, spread over the classes, and their masks, found in the batches of the stage `segment`."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.base.manifest import ImageRecord
from varireal.base.seeding import derive_seed
from varireal.previewing.probe import Measured, ProbedEngine
from varireal.segmentation.run import build_engine, build_segmenters, check_sources, segment_photos
from varireal.store import FolderStore

if TYPE_CHECKING:
    from varireal.config import Params


def choose_photos(photos: Sequence[ImageRecord], count: int, seed: int) -> list[ImageRecord]:
    """Return up to ``count`` photos, chosen by seed and spread over the classes; more are the same and others."""
    by_class: dict[str, list[ImageRecord]] = defaultdict(list)
    for photo in sorted(photos, key=lambda each: (derive_seed("preview", seed, each.image_id), each.image_id)):
        by_class[photo.class_name].append(photo)
    classes = sorted(by_class, key=lambda name: (derive_seed("preview", seed, name), name))
    rounds = itertools.zip_longest(*(by_class[name] for name in classes))
    return [photo for turn in rounds for photo in turn if photo is not None][:count]


@dataclasses.dataclass(frozen=True)
class FoundMasks:
    """The masks of the batches that hold the chosen photos."""

    photos: list[ImageRecord]  # of those batches, with mask, status and note
    measured: Measured

    def of(self, chosen: Sequence[ImageRecord]) -> list[ImageRecord]:
        """Return the records of the chosen photos, in the order of a manifest."""
        names = {photo.image_id for photo in chosen}
        return [photo for photo in self.photos if photo.image_id in names]

    @property
    def failed(self) -> list[ImageRecord]:
        return [photo for photo in self.photos if photo.status == "failed"]


def find_masks(
    params: Params, photos: Sequence[ImageRecord], chosen: Sequence[ImageRecord], domain_word: str, folder: Path
) -> FoundMasks:
    """Write the masks of all batches of `segment` that hold a chosen photo below ``folder``.

    A mask may depend on its batch in the last bits, and edits depend on masks to the bit; so the batches are whole.
    Masks that cannot be used are shown and warned of, all of them even; of a class there may be a single photo here.

    Args:
        photos: all training photos.

    Raises:
        UserError: a photo or a checkpoint cannot be used, or too many photos could not be done.
    """
    config, names = params.segment, {photo.image_id for photo in chosen}
    photos = sorted(photos, key=lambda photo: photo.image_id)
    batches = [photos[start : start + config.batch_size] for start in range(0, len(photos), config.batch_size)]
    wanted = [photo for batch in batches if not names.isdisjoint(p.image_id for p in batch) for photo in batch]
    check_sources(config, photos, domain_word)
    engine = ProbedEngine(build_engine(params))
    found = segment_photos(
        build_segmenters(params, engine, domain_word), wanted, config, FolderStore("segment"), engine, folder, folder,
        max_set_aside=params.compute.max_set_aside,
    )  # fmt: skip
    return FoundMasks(found, engine.take())
