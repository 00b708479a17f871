"""Where a fine-tuning stands, kept every so many steps: a killed one goes on there and ends with the same bytes.

A checkpoint is one safetensors file, replaced as a whole; its header holds the numbers that are no tensors, as JSON.
Random draws need no place in it: they are seeded by the step.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from varireal.base.files import atomic_write_bytes

logger = logging.getLogger(__name__)

FILE = "checkpoint.safetensors"


@dataclasses.dataclass(frozen=True)
class Look:
    """One look at the val split."""

    step: int  # optimisation steps done
    train_loss: float  # mean since the look before
    val_loss: float  # mean cross-entropy
    val_top1: float  # percent

    @property
    def rank(self) -> tuple[float, float]:
        """Return what the best look has most of: top-1, and of equals the lowest loss."""
        return self.val_top1, -self.val_loss


@dataclasses.dataclass
class State:
    """What a fine-tuning has done so far, beside its parameters and its optimiser."""

    step: int = 0  # optimisation steps done
    losses: list[float] = dataclasses.field(default_factory=list)  # since the last look
    looks: list[Look] = dataclasses.field(default_factory=list)
    best_weights: list[torch.Tensor] | None = None  # the parameters at the chosen look
    select: str = "best"  # as TrainConfig.select

    @property
    def best(self) -> Look:
        """Return the look that is chosen: the best, of equals the earliest; or the last one."""
        return self.looks[-1] if self.select == "last" else max(self.looks, key=lambda look: look.rank)

    def add_look(self, val_loss: float, val_top1: float, parameters: Sequence[torch.Tensor]) -> None:
        """Take down a look at val, and the parameters if it is the one to choose."""
        self.looks.append(Look(self.step, math.fsum(self.losses) / len(self.losses), val_loss, val_top1))
        self.losses = []
        if self.best is self.looks[-1]:
            self.best_weights = [parameter.detach().clone() for parameter in parameters]


class CheckpointFile:
    """The file of one fine-tuning in a folder of its own."""

    def __init__(self, folder: Path, every: int | None) -> None:
        """Let it be written every so many steps; None: never."""
        self._folder = folder
        self._every = every

    def due(self, step: int) -> bool:
        """Return whether it is to be written after that many steps."""
        return self._every is not None and step % self._every == 0

    def read(self) -> bytes | None:
        """Return the file's content, or None if there is none."""
        try:
            return (self._folder / FILE).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, data: bytes) -> None:
        """Replace the file.

        Raises:
            UserError: the disk is full or not writable; the old file is still there.
        """
        atomic_write_bytes(self._folder / FILE, data)


def to_bytes(
    state: State,
    parameters: Sequence[torch.Tensor],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> bytes:
    """Return everything that :func:`restore` needs, as a safetensors file."""
    tensors = {f"parameter.{k}": parameter.detach() for k, parameter in enumerate(parameters)}
    tensors |= {f"best.{k}": weights for k, weights in enumerate(state.best_weights or [])}
    for k, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{k}.{name}": value for name, value in values.items()}
    numbers = {
        "step": state.step,
        "losses": state.losses,
        "looks": [dataclasses.asdict(look) for look in state.looks],
        "scaler": scaler.state_dict(),
    }
    return save({name: tensor.contiguous() for name, tensor in tensors.items()}, {"state": json.dumps(numbers)})


def restore(
    data: bytes,
    parameters: Sequence[torch.Tensor],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> State:
    """Set parameters, optimiser and scaler to a checkpoint and return its state; a damaged one means the beginning."""
    try:
        tensors, numbers = load(data), _numbers(data)
        values = [tensors[f"parameter.{k}"] for k in range(len(parameters))]
        best = [tensors[f"best.{k}"] for k in range(len(parameters))] if numbers["looks"] else None
        state = State(numbers["step"], numbers["losses"], [Look(**look) for look in numbers["looks"]], best)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        logger.warning("a checkpoint is damaged (%s); its fine-tuning begins anew", error)
        return State()
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, k, moment = name.split(".")
            moments.setdefault(int(k), {})[moment] = tensor
    for parameter, value in zip(parameters, values):
        parameter.data.copy_(value)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    scaler.load_state_dict(numbers["scaler"])
    if state.best_weights is not None:
        state.best_weights = [value.to(parameter.device) for value, parameter in zip(state.best_weights, parameters)]
    return state


def _numbers(data: bytes) -> dict[str, Any]:
    """Return the JSON in the header of a safetensors file: eight bytes of length, then the header.

    A team passes checkpoints on as bytes, and ``safe_open``, which would give the metadata, reads files alone.
    """
    length = int.from_bytes(data[:8], "little")
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["state"])
