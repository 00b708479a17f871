"""Controls of harm: a known share of a training set's edits gets wrong labels, the same ones at every smaller share."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from varireal.base.manifest import iterate_manifest, manifest_writer
from varireal.base.seeding import derive_seed
from varireal.errors import UserError
from varireal.training.mixing import Candidate


def wrong_classes(chosen: Sequence[Candidate], classes: Sequence[str], share: float, seed: int) -> dict[str, int]:
    """Return by ``image_id`` the wrong class that an edit gets, for ``share`` of the edits: one at least.

    Every class loses its share, to within one image. Edits come in one order, so that those of a smaller share are
    among those of a larger one; the wrong class is any of the others with equal chances, the same at every share.

    Raises:
        UserError: there is one class only, so no label can be wrong.
    """
    if len(classes) < 2:
        raise UserError("a data set of one class has no wrong labels to give; set grid.controls to []")
    by_class: defaultdict[str, list[Candidate]] = defaultdict(list)
    for edit in chosen:
        by_class[edit.class_name].append(edit)
    order: list[tuple[float, int, str, Candidate]] = []
    for edits in by_class.values():
        drawn = sorted((derive_seed("wrong label", seed, edit.image_id), edit.image_id, edit) for edit in edits)
        order += [((2 * k + 1) / (2 * len(edits)), *each) for k, each in enumerate(drawn)]
    order.sort(key=lambda item: item[:3])
    count = max(1, int(Fraction(str(share)) * len(order) + Fraction(1, 2)))
    places = {name: place for place, name in enumerate(classes)}
    return {edit.image_id: _another(places[edit.class_name], len(classes), seed, edit) for *_, edit in order[:count]}


def _another(own: int, count: int, seed: int, edit: Candidate) -> int:
    """Return any class but the edit's own."""
    return (own + 1 + derive_seed("wrong label", "class", seed, edit.image_id) % (count - 1)) % count


def label_wrongly(manifest: Path, wrong: Mapping[str, int], classes: Sequence[str]) -> None:
    """Write a manifest anew with wrong labels, which the rows' notes tell; the others stay as they are."""
    with manifest_writer(manifest) as add:
        for record in iterate_manifest(manifest):
            if (place := wrong.get(record.image_id)) is not None:
                note = f"labelled wrongly on purpose: it shows {record.class_name}"
                record = dataclasses.replace(record, class_name=classes[place], class_index=place, note=note)
            add(record)
