"""All training photos: masks in batches, finished batches kept, a fallback, every unusable mask marked."""

from __future__ import annotations

import collections
import dataclasses
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal.base.files import encode_png, json_bytes, read_json, read_mask, sha256_file
from varireal.base.manifest import ImageRecord
from varireal.compute.engines import ENGINES, Engine, Pool, SetAside, check_set_aside
from varireal.compute.progress import progress
from varireal.config import Params, SegmentConfig
from varireal.errors import UserError
from varireal.segmentation import SEGMENTERS
from varireal.segmentation.base import Segment, Segmenter
from varireal.segmentation.labels import labels_problem
from varireal.segmentation.masks import clean_mask, mask_problem
from varireal.store import FolderStore, content_key

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

NO_MASK = "no mask"
NETWORK_MODULES = ("torch", "transformers.models.auto.modeling_auto")  # what workers import before their first batch


def build_engine(params: Params) -> Engine:
    """Return what the batches of photos are spread with; its workers import what the networks need."""
    networks = set(_sources(params.segment)) != {"dataset"}
    return ENGINES[params.compute.engine](params.compute, NETWORK_MODULES if networks else ())


def build_segmenters(params: Params, engine: Engine, domain_word: str) -> list[Segmenter]:
    """Return the source of the masks and, where one is set, its fallback; no network is loaded yet.

    Raises:
        UserError: a checkpoint is missing or of the wrong kind.
    """
    compute = params.compute.model_copy(update={"device": engine.device()})
    return [SEGMENTERS[source](params.segment, compute, domain_word) for source in _sources(params.segment)]


def check_sources(config: SegmentConfig, photos: Sequence[ImageRecord], domain_word: str) -> None:
    """Check that the data set has what the sources of the masks need.

    Raises:
        UserError: it has no masks or no domain word, or the labels that a model is asked for mean something else.
    """
    if config.source == "dataset" and all(photo.mask_path is None for photo in photos):
        raise UserError(
            "segment.source is dataset, but the data set has no masks; set dataset.masks_root, or use another source"
        )
    if problem := labels_problem(config, domain_word, {photo.class_name for photo in photos}):
        raise UserError(problem)
    if config.query == "domain" and not domain_word and {"grounded_sam2", "sam3", "clipseg"} & set(_sources(config)):
        raise UserError("segment.query is domain, but dataset.domain_word is empty; set it, or use query class")


def _sources(config: SegmentConfig) -> list[str]:
    return [source for source in (config.source, config.fallback) if source is not None]


class SegmentWorker:
    """Segments batches of photos in a worker of an engine, which holds the source of masks and its fallback."""

    def __init__(self, segmenters: Sequence[Segmenter]) -> None:
        self._segmenters = segmenters
        self._loaded = False

    def load(self) -> None:
        """Load all networks, unless they are loaded.

        Raises:
            UserError: a checkpoint cannot be used.
        """
        if not self._loaded:
            for member in self._segmenters:  # a fallback that cannot be loaded shall not come to light after hours
                member.load()
            self._loaded = True

    def __call__(self, items: Sequence[tuple[int, ImageRecord]]) -> list[Segment | None]:
        """Return what one of the segmenters, named by its number in the items, finds in a batch of photos.

        Raises:
            UserError: a photo or a checkpoint cannot be used.
        """
        self.load()
        return self._segmenters[items[0][0]].segment([photo for _, photo in items])


class MaskFinder:
    """Finds masks batch by batch and keeps what is finished.

    A batch is the unit that is kept and resumed: its last bits may depend on which photos share it.
    """

    def __init__(self, segmenters: Sequence[Segmenter], store: FolderStore, pool: Pool[Any, Segment | None]) -> None:
        """Take the segmenters, and a pool of a :class:`SegmentWorker` that holds the same."""
        self._segmenters, self._store, self._pool = segmenters, store, pool

    def find(
        self, number: int, batches: Iterable[Sequence[ImageRecord]]
    ) -> Iterator[tuple[ImageRecord, Segment | SetAside | None]]:
        """Yield what a segmenter finds in each photo, as batches get done; None or an empty mask where nothing is.

        Raises:
            UserError: a photo or a checkpoint cannot be used.
        """
        segmenter = self._segmenters[number]
        identity = segmenter.identity()
        kept: collections.deque[tuple[Sequence[ImageRecord], Path]] = collections.deque()
        sent: dict[int, tuple[Sequence[ImageRecord], str]] = {}

        def unfinished() -> Iterator[list[tuple[int, ImageRecord]]]:
            for batch in batches:
                key = _batch_key(segmenter, identity, batch)
                if (finished := self._store.get(key)) is not None:
                    kept.append((batch, finished.path))
                else:
                    sent[len(sent)] = (batch, key)
                    yield [(number, photo) for photo in batch]

        for place, segments in self._pool.run(unfinished()):
            yield from _kept_segments(kept)
            batch, key = sent[place]
            done = [segment for segment in segments if not isinstance(segment, SetAside)]
            if len(done) == len(segments):
                self._store.put({key: _batch_files(done)})
            yield from zip(batch, segments)
        yield from _kept_segments(kept)


def _batch_key(segmenter: Segmenter, identity: dict[str, Any], batch: Sequence[ImageRecord]) -> str:
    inputs = [
        [photo.sha256, sha256_file(Path(photo.mask_path)) if photo.mask_path else None, segmenter.phrase(photo)]
        for photo in batch
    ]
    return content_key({"segmenter": identity, "photos": inputs})


def _batch_files(segments: Sequence[Segment | None]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for number, segment in enumerate(segments):
        if segment is not None:
            files[f"{number}.png"] = mask_bytes(segment.mask)
            files[f"{number}.json"] = json_bytes(segment.details)
    return files


def _kept_segments(
    kept: collections.deque[tuple[Sequence[ImageRecord], Path]],
) -> Iterator[tuple[ImageRecord, Segment | None]]:
    """Take finished batches from the queue and yield their photos and segments."""
    while kept:
        batch, folder = kept.popleft()
        for number, photo in enumerate(batch):
            path = folder / f"{number}.png"
            yield photo, Segment(read_mask(path), read_json(path.with_suffix(".json"))) if path.is_file() else None


def mask_bytes(mask: np.ndarray) -> bytes:
    """Return a mask, bool (H, W), as PNG: 255 on the object, 0 elsewhere."""
    return encode_png(mask.astype("uint8") * 255)


def segment_photos(
    segmenters: Sequence[Segmenter],
    photos: Sequence[ImageRecord],
    config: SegmentConfig,
    store: FolderStore,
    engine: Engine,
    folder: Path,
    recorded_as: Path,
    *,
    max_set_aside: float,
) -> list[ImageRecord]:
    """Write ``masks/<image_id>.png`` below the folder and return the photos' records with mask, status and note.

    A record's ``settings`` say how its mask was made, where there is something to say; a fallback that made it
    stands there as ``source``.

    Args:
        segmenters: the source of the masks, and after it the fallbacks that are asked for photos in which those
            before find nothing.
        recorded_as: the folder's later path, which the records hold.
        max_set_aside: the share of the photos that a source may leave out because no worker could do them, whether
            a fallback then finds something or not.

    Unusable masks are warned of; whether too few are left is for the caller to ask: :func:`check_usable`.

    Raises:
        UserError: a photo or a checkpoint cannot be used, or too many photos could not be done.
        Interrupted: a signal asked to end; what is finished is kept in the store.
    """
    photos = sorted(photos, key=lambda photo: photo.image_id)
    batches = [photos[start : start + config.batch_size] for start in range(0, len(photos), config.batch_size)]
    done: dict[str, ImageRecord] = {}
    set_aside: dict[str, str] = {}
    worker = SegmentWorker(segmenters)
    with progress("Masks", len(photos)) as advance, engine.open(worker, len(batches)) as pool:
        finder = MaskFinder(segmenters, store, pool)
        for number, segmenter in enumerate(segmenters):
            last, unseen = number + 1 == len(segmenters), set()
            for photo, segment in finder.find(number, batches):
                if isinstance(segment, SetAside):  # counts even where a fallback finds something coarser
                    set_aside.setdefault(photo.image_id, segment.note)
                seen = isinstance(segment, Segment) and bool(segment.mask.any())
                if isinstance(segment, Segment) and seen and number:
                    segment = Segment(segment.mask, {**segment.details, "source": segmenter.identity()["source"]})
                if seen or not number:
                    done[photo.image_id] = _record(photo, segment, config, folder, recorded_as)
                if not seen:
                    unseen.add(photo.image_id)
                advance(seen or last)
            batches = [[photo for photo in batch if photo.image_id in unseen] for batch in batches]
            batches = [batch for batch in batches if batch]
    notes = [f"{photo.path}, {set_aside[photo.image_id]}" for photo in photos if photo.image_id in set_aside]
    check_set_aside(notes, len(photos), max_set_aside, "photos")
    records = [done[photo.image_id] for photo in photos]
    for record in records:
        if record.status == "failed" and record.mask_path is not None:
            logger.warning("the mask of %s is unusable (%s)", record.path, record.note)
    return records


def check_usable(records: Sequence[ImageRecord]) -> None:
    """Check that the masks of a whole data set leave something of every class to edit.

    Raises:
        UserError: not one mask is usable, or none of a class.
    """
    check_any_usable(records)
    left = {record.class_name for record in records if record.status != "failed"}
    if bare := sorted({record.class_name for record in records} - left):
        notes = collections.Counter(record.note for record in records if record.class_name == bare[0])
        raise UserError(
            f"{len(bare)} classes have no usable mask, so nothing of them could be edited: {', '.join(bare[:12])} (of "
            f"{bare[0]}: {notes.most_common(1)[0][0]}{_inverted(notes)}); give them masks, set segment.fallback, "
            "loosen the bounds of segment, or leave the classes out"
        )


def check_any_usable(records: Sequence[ImageRecord]) -> None:
    """Check that some mask can be used.

    Raises:
        UserError: all of them failed.
    """
    if all(record.status == "failed" for record in records):
        raise UserError(
            f"not one of {len(records)} masks is usable (the first, of {records[0].path}: {records[0].note}"
            f"{_inverted(record.note for record in records)}); check segment.object_labels, query and thresholds, the "
            "bounds (min_area, max_area, max_border, min_main_fragment), or the masks"
        )


def _inverted(notes: Iterable[str | None]) -> str:
    """Say that masks may be inverted, where all of them are as the background would be."""
    like = all((note or "").startswith(("at the border", "too large")) for note in notes)
    return "; inverted masks look so: 255 belongs on the object" if like else ""


def _record(
    photo: ImageRecord, segment: Segment | SetAside | None, config: SegmentConfig, folder: Path, recorded_as: Path
) -> ImageRecord:
    """Write one finished mask into the folder, check it, and return the photo's record."""
    if not isinstance(segment, Segment):
        note = NO_MASK if segment is None else segment.note
        return dataclasses.replace(photo, status="failed", note=note, mask_path=None)
    mask = clean_mask(segment.mask, config.cleaning)
    relative = Path("masks", f"{photo.image_id}.png")
    (folder / relative).parent.mkdir(parents=True, exist_ok=True)
    (folder / relative).write_bytes(mask_bytes(mask))
    settings = json.dumps(segment.details, sort_keys=True) if segment.details else None
    record = dataclasses.replace(photo, mask_path=(recorded_as / relative).as_posix(), settings=settings)
    note = mask_problem(mask, config)
    return record if note is None else dataclasses.replace(record, status="failed", note=note)
