"""A blank input for every network as soon as it is loaded, so that one that cannot answer is told before the work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from varireal.compute.accelerators import is_broken
from varireal.errors import UserError
from varireal.networks.memory import out_of_memory

SIDE = 64  # pixels of a blank picture
STEPS = 2  # of drawing one; some schedulers cannot do with a single one


@contextlib.contextmanager
def answering(key: str, checkpoint: str, files: str) -> Iterator[None]:
    """Say in one line which checkpoint cannot answer the blank input that the block gives it.

    Memory that is full and an accelerator that failed are not the checkpoint's fault, and pass.

    Args:
        key: where params.yaml names the checkpoint.
        files: those of it that decide how it is asked, to look at.

    Raises:
        UserError: the block failed in one of the ways in which parts fail that do not belong together.
    """
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError) as error:
        if is_broken(error) or (isinstance(error, RuntimeError) and out_of_memory(error)):
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(
            f"{key} = {checkpoint!r} cannot answer a blank input ({type(error).__name__}: {reason}); its parts do not "
            f"belong together: look at its {files}, or choose another checkpoint"
        ) from error
