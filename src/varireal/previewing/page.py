"""The page of a preview: one HTML file without anything from outside."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.reporting.gallery import Example, build_examples, data_uri
from varireal.reporting.page import FILTERS, page_environment
from varireal.reporting.words import counted

if TYPE_CHECKING:
    from varireal.base.manifest import ImageRecord
    from varireal.editing.attempts import FilterAnswer
    from varireal.measuring.strength import Strength
    from varireal.previewing.preview import Preview

FAILED_SIDE = 160  # pixels of the photos without a usable mask, of which there may be many
MOST_FAILED = 24
CHOSEN = (
    "The first edit of each photo of the preview, by cell: every attempt with its scores. Photos were chosen by seed, "
    "not by looks."
)


@dataclasses.dataclass(frozen=True)
class FailedMask:
    """A photo that cannot be edited."""

    name: str
    note: str
    photo: str  # data URI
    mask: str | None


def render_preview(preview: Preview) -> str:
    """Return the page as HTML; every text is escaped, and a browser that reads it runs no script but the page's own.

    Raises:
        UserError: a picture cannot be read.
    """
    environment = page_environment()
    script = environment.get_template("script.js.j2").render()
    examples = _examples(preview)
    cells, networks, forecast = preview.grids()
    failed = preview.masks.failed
    return environment.get_template("preview.html.j2").render(
        dataset=preview.dataset,
        photos=counted(len(preview.chosen), "photo"),
        warnings=preview.warnings,
        cells=cells,
        networks=networks,
        forecast=forecast,
        masks=len(preview.masks.photos),
        failed=[_failed(record) for record in failed[:MOST_FAILED]],
        failed_count=len(failed),
        examples=examples,
        words=CHOSEN,
        choices={field: list(dict.fromkeys(getattr(each, field) for each in examples)) for field in FILTERS},
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _examples(preview: Preview) -> list[Example]:
    """Return the edits with their pictures and figures, photo by photo."""
    rows: list[tuple[ImageRecord, str]] = []
    for cell in preview.cells:
        figures = {each.edit.job.image_id: _figures(each.strength, each.unedited) for each in cell.edits}
        rows += [(record, figures[record.image_id]) for record in cell.records]
    order = {photo.image_id: place for place, photo in enumerate(preview.chosen)}
    rows.sort(key=lambda row: order[row[0].photo_id])  # stable: cells stay in the order of the grid
    built = build_examples([record for record, _ in rows])
    return [dataclasses.replace(each, figures=figures) for each, (_, figures) in zip(built, rows)]


def _figures(strength: Strength | None, unedited: FilterAnswer | None) -> str:
    if strength is None:
        return ""
    words = f"ΔE {strength.delta_e:.0f}, left as it was {strength.untouched:.0%}, wrongly changed {strength.lost:.0%}"
    if unedited is None or not unedited.scores:
        return words
    scores = ", ".join(f"{name} {score:.2f}" for name, score in sorted(unedited.scores.items()))
    return f"{words}; the photo itself: {'accepted' if unedited.accepted else 'rejected'}, {scores}"


def _failed(record: ImageRecord) -> FailedMask:
    mask = None if record.mask_path is None else data_uri(Path(record.mask_path), FAILED_SIDE, exact=False)
    photo = data_uri(Path(record.path), FAILED_SIDE, exact=False)
    return FailedMask(record.image_id, str(record.note), photo, mask)
