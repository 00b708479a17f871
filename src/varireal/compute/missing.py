"""Do what is missing: the one way in which train, evaluate and measure find, spread and keep their pieces of work.

Unlike an edit no piece may be left out: one that cannot be done ends the stage, after the others are kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from varireal.compute.engines import ENGINES, SetAside, Worker
from varireal.compute.engines.local import LocalEngine
from varireal.compute.progress import catching_up, progress
from varireal.config import ComputeConfig
from varireal.errors import UserError
from varireal.store import Store

logger = logging.getLogger(__name__)


class Piece(Protocol):
    """A piece of a stage's work, such as one fine-tuning."""

    @property
    def key(self) -> str:
        """Return what its result is kept under."""
        ...

    @property
    def name(self) -> str:
        """Return its name in a message."""
        ...

    @property
    def units(self) -> int:
        """Return how much it counts in the progress."""
        ...


AnyPiece = TypeVar("AnyPiece", bound=Piece)


def missing_pieces(plan: Sequence[AnyPiece], store: Store, note: str) -> list[AnyPiece]:
    """Return what of a plan is not kept from an earlier run, each key once.

    Args:
        note: is logged with the number of missing pieces and that of all.
    """
    kept = [store.get(piece.key) is not None for piece in plan]
    for piece, there in zip(plan, kept):
        if there:
            store.drop_unfinished(piece.key)  # left by a run that was killed between its last two steps
    missing = {piece.key: piece for piece, there in zip(plan, kept) if not there}
    logger.info(note, len(missing), len(plan))
    return list(missing.values())


def finish(
    missing: Sequence[AnyPiece],
    store: Store,
    build_worker: Callable[[ComputeConfig], Worker[AnyPiece, dict[str, bytes]]],
    compute: ComputeConfig,
    modules: tuple[str, ...],
    description: str,
) -> None:
    """Do pieces side by side, on the engine that is configured, and keep the files of each as soon as it is done.

    A piece whose worker was lost goes on elsewhere from what it left in :meth:`Store.unfinished`. A signal ends this
    at once: pieces may take hours.

    Args:
        build_worker: is called with the settings that name the workers' device. Workers return the files of each
            item, and may report its units while they work.
        modules: what workers import before their first piece.
        description: of the progress bar.

    Raises:
        UserError: raised by a worker; a piece could not be done though it was tried again; or the disk is full.
        Interrupted: a signal asked to end; what is finished is kept.
    """
    if not missing:
        return
    engine = ENGINES[compute.engine](compute, modules)
    if isinstance(engine, LocalEngine):
        engine.warm_up(len(missing))
    worker = build_worker(compute.model_copy(update={"device": engine.device()}))
    failed: list[str] = []
    start = time.monotonic()
    with progress(description, sum(piece.units for piece in missing)) as advance:
        shown = [catching_up(advance) for _ in missing]

        def show(number: int, done: int) -> None:
            shown[number](done)

        with engine.open(worker, len(missing), on_units=show, finish_running=False) as pool:
            for number, [result] in pool.run([piece] for piece in missing):
                piece = missing[number]
                if isinstance(result, SetAside):
                    failed.append(f"{piece.name}: {result.note}")
                    continue
                store.put({piece.key: result})
                store.drop_unfinished(piece.key)
                show(number, piece.units)
    if failed:
        raise UserError(
            f"{len(failed)} of {len(missing)} pieces of work could not be done (the first, {failed[0]}); what is "
            "finished is kept, so run the same command again when this is mended"
        )
    store.note_time(len(missing), time.monotonic() - start)
