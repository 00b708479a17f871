"""What another look costs, from the times that fine-tunings and predictions took so far."""

from __future__ import annotations

from statistics import median

from varireal.store import FolderStore, Store

RECENT = 10  # notes of a stage: about as many as one look leaves
STAGES = ("train", "evaluate")


def seconds_of(models: int) -> float | None:
    """Return what so many fine-tunings and their predictions would take, or None where none was clocked yet."""
    paces = [_pace(FolderStore(stage)) for stage in STAGES]
    known = [pace for pace in paces if pace is not None]
    return models * sum(known) if len(known) == len(paces) else None


def _pace(store: Store) -> float | None:
    """Return the seconds of a piece: the middle one of the last notes, as a machine is busy now and then."""
    recent = [seconds / pieces for pieces, seconds in store.times()[-RECENT:] if pieces]
    return median(recent) if recent else None
