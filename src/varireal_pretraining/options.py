"""The command line that all trainings of the demo models share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from varireal_pretraining.images import IMAGES
from varireal_pretraining.loop import LoopSettings


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """Where a training reads and writes, how long it takes, and its batches."""

    out: Path  # folder of the model
    metrics: Path  # JSON of its figures
    minutes: float  # of training
    batch_size: int
    learning_rate: float  # peak
    images: Path = IMAGES  # folder of `varireal_pretraining.images`
    state: Path = IMAGES.parent  # checkpoints of an unfinished training, and its log
    threads: int = 1
    seed: int = 0

    def loop_settings(self, name: str, **others: Any) -> LoopSettings:
        """Return the settings of the training called ``name``; ``others`` are fields that have no option."""
        return LoopSettings(
            name, self.seed, self.batch_size, minutes=self.minutes, learning_rate=self.learning_rate, **others
        )


def training_options(defaults: TrainingOptions) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a click command an option for every field, with these defaults; it gets them as its first argument."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        fields = dataclasses.fields(TrainingOptions)

        @wraps(function)
        def command(**values: Any) -> None:
            options = TrainingOptions(**{field.name: values.pop(field.name) for field in fields})
            function(options, **values)

        for field in reversed(fields):
            default = getattr(defaults, field.name)
            kind = click.Path(path_type=Path) if isinstance(default, Path) else type(default)
            option = click.option("--" + field.name.replace("_", "-"), type=kind, default=default, show_default=True)
            command = option(command)
        return command

    return decorate
