"""Halve batches that are too large for the device's memory until they fit."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from varireal.errors import UserError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Fitting:
    """Run batches in parts that fit, and remember the largest size that is not known to fail.

    A result depends neither on its place in a batch nor on its neighbours, so parts give the same results as the whole,
    to within the last bits that the size of a batch shows in.
    """

    def __init__(self, section: str, remedy: str) -> None:
        """Take the section of params.yaml that asks for the batches, and what to do where not even one fits."""
        self._section, self._remedy = section, remedy
        self._most: int | None = None

    def run(self, draw: Callable[[Sequence[int]], list[Result]], places: Sequence[int], what: str) -> list[Result]:
        """Return what ``draw`` makes of all places, in order.

        Args:
            what: the things at the places, for messages, such as ``pictures of 1024 pixels``.

        Raises:
            UserError: the memory does not hold a single one.
        """
        made: list[Result] = []
        while len(made) < len(places):
            part = places[len(made) :][: self._most]
            drawn = _try_to_draw(draw, part)
            if drawn is not None:
                made += drawn
            elif len(part) == 1:
                raise UserError(
                    f"{self._section}: the device's memory does not hold even one of the {what}; {self._remedy}"
                )
            else:
                self._most = (len(part) + 1) // 2
                free_memory()
                logger.warning(
                    "%s: the device's memory does not hold %d of the %s; going on with %d at a time",
                    self._section, len(part), what, self._most,
                )  # fmt: skip
        return made


def out_of_memory(error: RuntimeError) -> bool:
    """Tell whether an error of torch says that a device's memory is full.

    Apple's devices say it in words alone, without a class of its own.
    """
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)


def _try_to_draw(draw: Callable[[Sequence[int]], list[Result]], part: Sequence[int]) -> list[Result] | None:
    """Return what is drawn, or None if the memory does not suffice.

    A function of its own, so that the tensors of a failed attempt are freed when it returns.
    """
    try:
        return draw(part)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return None


def free_memory() -> None:
    """Give back what Python and torch still hold of what nobody needs any more, such as a failed attempt."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
