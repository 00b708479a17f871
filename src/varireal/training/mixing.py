"""Exact, deterministic choice of edits, so that conditions differ in feasibility and in nothing else.

Every edit has a place in one order of its class: first by the edit's index (so that all photos come once before one
comes twice), then by a hash. Feasible edits are taken from the front of that order, infeasible ones from the back.
So a mixed set shows as many different photos as a pure one, and a change of the share exchanges only as many
images as it must; at the shares 0 and 1 it is the pure set.
"""

from __future__ import annotations

import contextlib
import gc
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from varireal.base.manifest import (
    FEASIBILITIES,
    Attribute,
    Feasibility,
    ImageRecord,
    copy_rows,
    manifest_columns,
    usable,
)
from varireal.base.seeding import derive_seed
from varireal.config import MixConfig
from varireal.config.controls import NULLS
from varireal.errors import UserError


class Candidate(NamedTuple):
    """An edit by its row in a manifest, with what a choice depends on: small, for there may be a million."""

    image_id: str
    photo_id: str
    class_name: str
    index: int | None  # pyright: ignore[reportIncompatibleMethodOverride] - hides tuple.index, which nobody calls
    status: str
    feasibility: Feasibility | None
    row: int


Edit = TypeVar("Edit", Candidate, ImageRecord)
Edits = Mapping[Feasibility, Sequence[Edit]]


def choose_from_manifests(
    manifests: Mapping[Feasibility, Path],
    classes: Sequence[str],
    attribute: Attribute,
    conditions: Sequence[str],
    config: MixConfig,
    seed: int,
) -> dict[str, list[Candidate]]:
    """Return the edits that each condition trains on, in the order of their names.

    Args:
        manifests: of all cells of the attribute, by feasibility.
        conditions: and names of controls: the edits of a control of harm are those of the condition feasible.

    Raises:
        UserError: as for :func:`candidates` and :func:`choose`.
    """
    with _without_collection():
        edits: Edits[Candidate] = {
            name: usable(candidates(path), config.include_exhausted) for name, path in manifests.items()
        }
        return {
            condition: sorted(
                choose(
                    edits,
                    classes,
                    attribute,
                    config.share(condition),
                    config.images_per_class,
                    seed,
                    swapped=condition == NULLS[1],
                ),
                key=lambda candidate: candidate.image_id,
            )
            for condition in conditions
        }


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Look for no cycles in the block: candidates have none, and among a million of them the search takes seconds."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def write_mix(path: Path, manifests: Mapping[Feasibility, Path], chosen: Sequence[Candidate]) -> None:
    """Write the manifest of a training set: the rows of the chosen edits, in their order."""
    places = {feasibility: place for place, feasibility in enumerate(manifests)}
    rows = [(places[cast("Feasibility", candidate.feasibility)], candidate.row) for candidate in chosen]
    copy_rows(path, list(manifests.values()), rows)


def candidates(manifest: Path) -> Iterator[Candidate]:
    """Yield the edits of a cell, in the order of its manifest.

    Raises:
        UserError: as for :func:`varireal.base.manifest.read_manifest`.
    """
    start = 0
    for columns in manifest_columns(manifest, Candidate._fields[:-1]):
        end = start + len(columns[0])
        yield from map(Candidate, *columns, range(start, end))
        start = end


def images_by_class(
    edits: Edits[Any], classes: Sequence[str], images_per_class: int | None, attribute: str
) -> list[int]:
    """Return how many images each class gives to every condition of the attribute.

    Without ``images_per_class`` this is the smallest number of usable edits that the class has of any feasibility,
    so that pure and mixed sets have the same size, in total and in each class.

    Raises:
        UserError: a class has no usable edit of some feasibility, or fewer than ``images_per_class``.
    """
    counts = {feasibility: Counter(record.class_name for record in rows) for feasibility, rows in edits.items()}
    sizes = []
    for name in classes:
        scarcest = min(sorted(counts), key=lambda feasibility: counts[feasibility][name])
        available = counts[scarcest][name]
        if available == 0:
            raise UserError(
                f"class {name!r} has no usable edit in the cell {attribute} {scarcest}; lower "
                "filter.attribute_threshold, set mix.include_exhausted to true, or see metrics/segment.json"
            )
        if images_per_class is not None and images_per_class > available:
            raise UserError(
                f"mix.images_per_class = {images_per_class}, but class {name!r} has only {available} usable edits "
                f"in the cell {attribute} {scarcest}; lower it to at most {available}, or set it to null"
            )
        sizes.append(available if images_per_class is None else images_per_class)
    return sizes


def infeasible_counts(sizes: Sequence[int], share: float, ties: Sequence[int]) -> list[int]:
    """Return how many images of each class are infeasible in a mixed set, by largest remainder.

    The total is ``share`` times the sum of ``sizes``, rounded half up. Each class first gets the whole part of its
    quota ``share * size``; what is left of the total goes to the largest fractional parts, equal ones in the order
    of ``ties``. Exact: ``share`` counts as the decimal number it is written as.
    """
    exact = Fraction(str(share))
    quotas = [exact * size for size in sizes]
    total = int(exact * sum(sizes) + Fraction(1, 2))
    counts = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(sizes)), key=lambda k: (counts[k] - quotas[k], ties[k]))
    for k in by_remainder[: total - sum(counts)]:
        counts[k] += 1
    return counts


def choose(
    edits: Edits[Edit],
    classes: Sequence[str],
    attribute: str,
    share: float,
    images_per_class: int | None,
    seed: int,
    *,
    swapped: bool = False,
) -> list[Edit]:
    """Return the training set of one condition, in no certain order, independent of that of the records given.

    Args:
        edits: the usable edits by feasibility; all feasibilities of the grid, also those the condition does not take,
            because every condition gets the same number of images.
        classes: all class names of the data set.
        share: of infeasible images: 0 or 1 for the pure conditions, ``mix.ratio`` for the mixed one.
        swapped: take feasible edits from the back of the order and infeasible ones from the front: as many of each as
            without, but of a photo the other edit. The order is by chance, so both ways are draws of one distribution.

    Raises:
        UserError: as for :func:`images_by_class`.
    """
    sizes = images_by_class(edits, classes, images_per_class, attribute)
    ties = [derive_seed("mix", "tie", seed, attribute, name) for name in classes]
    infeasible = infeasible_counts(sizes, share, ties)
    groups = {feasibility: _by_class(edits.get(feasibility, ())) for feasibility in FEASIBILITIES}
    chosen: list[Edit] = []
    for name, size, count in zip(classes, sizes, infeasible):
        chosen += _first(groups["feasible"][name], size - count, seed, backwards=swapped)
        chosen += _first(groups["infeasible"][name], count, seed, backwards=not swapped)
    return chosen


def _by_class(records: Iterable[Edit]) -> Mapping[str, list[Edit]]:
    groups: dict[str, list[Edit]] = defaultdict(list)
    for record in records:
        groups[record.class_name].append(record)
    return groups


def _first(records: list[Edit], count: int, seed: int, backwards: bool = False) -> list[Edit]:
    """Return the first records of a class, or the last ones, in the order that both feasibilities share."""
    if count in (0, len(records)):
        return records[:count]  # none or all: their order says nothing
    ordered = sorted(
        records,
        key=lambda r: (r.index or 0, derive_seed("mix", seed, r.photo_id, r.index), r.image_id),
        reverse=backwards,
    )
    return ordered[:count]


def describe(records: Sequence[Edit], classes: Sequence[str]) -> dict[str, Any]:
    """Return the figures of a training set for its metrics file."""
    counts = Counter((record.class_name, record.feasibility) for record in records)
    infeasible = sum(record.feasibility == "infeasible" for record in records)
    return {
        "images": len(records),
        "photos": len({record.photo_id for record in records}),
        "infeasible_share": infeasible / len(records),
        "classes": {
            name: {"feasible": counts[name, "feasible"], "infeasible": counts[name, "infeasible"]} for name in classes
        },
    }
