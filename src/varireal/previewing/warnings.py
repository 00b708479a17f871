"""What looks wrong in a preview, by stated bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from varireal.reporting.data import uneven
from varireal.reporting.words import counted, percent

if TYPE_CHECKING:
    from varireal.previewing.cells import PreviewedCell
    from varireal.previewing.sample import FoundMasks

FAILED_MASKS = 0.1  # share of masks that may be unusable
LOST = 0.05  # mean share of what should stay that may be changed
WEAK = 10.0  # mean ΔE below which an edit is hardly one
YES_TO_PHOTOS = 0.5  # share of unedited photos that the filter may take for the edit
UNLIKELY = 0.95  # chance that mix is served below which it should not be counted on


def warn(masks: FoundMasks, cells: Sequence[PreviewedCell], chances: Sequence[float | None]) -> list[str]:
    """Return what looks wrong, a sentence each.

    Args:
        chances: that mix can be served, by cell.
    """
    found = [*_masks(masks), *_judge(cells), *_uneven(cells)]
    for cell, chance in zip(cells, chances):
        found += _cell(cell, chance)
    return found


def _masks(masks: FoundMasks) -> Iterator[str]:
    failed = masks.failed
    if len(failed) > FAILED_MASKS * len(masks.photos):
        yield (
            f"{len(failed)} of {counted(len(masks.photos), 'mask')} cannot be used (the first, of "
            f"{failed[0].image_id}: {failed[0].note}); look at segment's source and bounds, docs/masks.md"
        )


def _judge(cells: Sequence[PreviewedCell]) -> Iterator[str]:
    """Judge the filter by its answers, where it asks anything."""
    asked = [cell for cell in cells if cell.thresholds]
    if not asked:
        yield "nothing judges the edits (filter.name: none), so each is trained on: look at them; see docs/filter.md"
    answers = [edit.unedited.accepted for cell in asked for edit in cell.made if edit.unedited is not None]
    made, attempts = sum(len(cell.made) for cell in asked), sum(cell.attempts for cell in asked)
    accepted = sum(cell.accepted for cell in asked)
    if answers and sum(answers) > YES_TO_PHOTOS * len(answers):
        yield (
            f"the filter accepts {sum(answers)} of {len(answers)} photos that nobody edited as if they were the edit: "
            "it says little; raise its thresholds, or take another model (docs/filter.md)"
        )
    if made and accepted == attempts:
        yield f"the filter accepted every attempt at all {counted(made, 'edit')}: look whether it tells anything apart"
    if made and not accepted:
        yield f"the filter accepted none of {counted(attempts, 'attempt')}: lower its thresholds, or mend the edits"


def _uneven(cells: Sequence[PreviewedCell]) -> Iterator[str]:
    """Compare how strong feasible and infeasible edits of an attribute are."""
    means = {(cell.attribute, cell.feasibility): mean_of(cell, "delta_e") for cell in cells}
    for attribute in dict.fromkeys(cell.attribute for cell in cells):
        one, other = means.get((attribute, "feasible")), means.get((attribute, "infeasible"))
        if one is not None and other is not None and uneven(one, other):
            yield (
                f"{attribute}: feasible edits change colours by ΔE {one:.0f} on the mean, infeasible ones by "
                f"{other:.0f}; a difference between them may be one of strength"
            )


def _cell(cell: PreviewedCell, chance: float | None) -> Iterator[str]:
    same = [each.edit.job.image_id for each in cell.made if each.strength and each.strength.same]
    if same:
        yield f"{cell.name}: {counted(len(same), 'edit')} equal to the photo (the first: {same[0]})"
    if broken := [each.edit for each in cell.edits if not each.made]:
        yield f"{cell.name}: {counted(len(broken), 'edit')} could not be made (the first: {broken[0].note})"
    if not cell.edits and cell.failures:
        yield f"{cell.name}: no photo can be edited ({cell.failures[0].note})"
    lost, delta = mean_of(cell, "lost"), mean_of(cell, "delta_e")
    if lost is not None and lost > LOST:
        what = "the object" if cell.attribute == "background" else "the surroundings"
        yield f"{cell.name}: {percent(lost)} of {what} is changed, though it should stay (more than {percent(LOST)})"
    if delta is not None and delta < WEAK:
        yield f"{cell.name}: edits change colours by ΔE {delta:.1f} on the mean (less than {WEAK:g}): hardly visible"
    if chance is not None and chance < UNLIKELY:
        yield (
            f"{cell.name}: mix can be served with a chance of {percent(chance)}; lower the filter's thresholds, set "
            "filter.rule to mean or mix.include_exhausted to true, or edit more photos"
        )


def mean_of(cell: PreviewedCell, measure: str) -> float | None:
    """Return the mean of a measure of strength over a cell's edits, or None where there is none."""
    return fmean(getattr(each.strength, measure) for each in cell.made) if cell.made else None
