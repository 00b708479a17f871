"""Values of networks that are no numbers: half precision that overflows, or damaged weights. Never used in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varireal.errors import UserError

if TYPE_CHECKING:
    import torch


def check_numbers(values: torch.Tensor, checkpoint: str, dtype: torch.dtype, *, infinite: bool = False) -> None:
    """Check that a network gave numbers.

    Args:
        checkpoint: where params.yaml names it and what it is, for the message.
        dtype: that it computes in.
        infinite: whether it may give infinite values, as masked words are.

    Raises:
        UserError: a value is NaN, or infinite where it must not be.
    """
    wrong = values.isnan() if infinite else ~values.isfinite()
    if bool(wrong.any()):
        raise no_numbers(checkpoint, dtype)


def no_numbers(checkpoint: str, dtype: torch.dtype, more: str = "") -> UserError:
    """Return what to say of a network that gave values that are no numbers.

    Args:
        more: a further remedy for half precision.
    """
    import torch

    precision = str(dtype).removeprefix("torch.")
    remedy = (
        "its weights must be damaged: get them again, or name others"
        if dtype in (torch.float32, torch.float64)
        else f"set compute.dtype to float32{more}; if it does so there too, its weights are damaged"
    )
    return UserError(f"{checkpoint} gives values that are no numbers (NaN or infinite) in {precision}; {remedy}")
