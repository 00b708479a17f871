"""The processes that share a fine-tuning: each does some parts of every batch, the sum of their gradients moves all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from varireal.compute.processes import launched_processes


class Team(Protocol):
    """What a process has to know of the others."""

    rank: int  # this process among them, from 0; the first one selects and saves
    size: int
    device: torch.device | None  # the one for this process; None: as configured

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor, in place, by its sum over all processes."""

    def from_first(self, value: Any) -> Any:
        """Return the first process's value, in every process."""

    def leave(self) -> None:
        """End the connection to the others; nothing can be exchanged after it."""


class Alone:
    """One process does everything."""

    rank, size = 0, 1
    device: torch.device | None = None

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Leave them: they are the sums."""

    def from_first(self, value: Any) -> Any:
        """Return the value."""
        return value

    def leave(self) -> None:
        """Do nothing."""


class Accelerated:
    """Processes that `accelerate launch`, torchrun or `compute.processes` started, on one machine or several.

    Gradients of an adapter are few: they are summed in one go after the backward pass. (Wrapping the model would
    average them instead, which is another loss where a batch has two origins.)
    """

    def __init__(self, on_cpu: bool) -> None:
        from accelerate import Accelerator

        self._accelerator = Accelerator(cpu=on_cpu)
        self.rank: int = self._accelerator.process_index
        self.size: int = self._accelerator.num_processes
        self.device: torch.device | None = self._accelerator.device

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Sum all of them in one exchange."""
        total: Any = self._accelerator.reduce(torch.cat([tensor.reshape(-1) for tensor in tensors]), "sum")
        for tensor, part in zip(tensors, total.split([tensor.numel() for tensor in tensors])):
            tensor.copy_(part.view_as(tensor))

    def from_first(self, value: Any) -> Any:
        """Send the value of process 0 to the others."""
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def leave(self) -> None:
        """Take the process group down."""
        self._accelerator.end_training()


def join_team(on_cpu: bool) -> Team:
    """Return the team that the environment describes, as torchrun's variables do."""
    return Accelerated(on_cpu) if launched_processes() > 1 else Alone()
