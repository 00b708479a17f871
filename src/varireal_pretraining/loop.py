"""How all demo networks are trained: options, learning rate, moving average, log, checkpoint, resume.

A network brings its modules and a function that computes the loss of one step. All randomness of a step comes from the
:class:`TrainingStep` it is handed, whose generators are seeded by (name, seed, step number): a run that was interrupted
and resumed draws the same numbers as one that was not.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from diffusers.training_utils import EMAModel
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from varireal.base.files import atomic_write_bytes, write_json
from varireal.base.seeding import derive_seed, generator
from varireal.cli import verbose_option
from varireal.compute.interruption import check_interruption, deferring, ending_on_signals, is_interrupted
from varireal.errors import UserError

log = logging.getLogger(__name__)

#: Where rendered pictures, checkpoints and what one training leaves for the next lie.
WORKSPACE = Path("models/demo/.training")
METRICS = Path("models/demo/metrics")
#: Fields that a command has options for, where they are given a value.
OPTIONS = ("out", "metrics", "minutes", "steps", "batch_size", "learning_rate", "images", "state", "seed")
#: Fields that may differ between a run and its continuation: where it lies and how long it is, not what is learned.
BUDGET = ("out", "metrics", "minutes", "steps", "images", "state", "save_minutes", "log_steps")

#: A network of diffusers, transformers or open_clip; a type checker does not know the parts that they register.
LibraryModel = Any
Command = Callable[..., None]


@dataclass(frozen=True)
class TrainingSettings:
    """How one network is trained, and where the training reads and writes.

    Exactly one of ``minutes`` (of training, without exports) and ``steps`` is the budget. The learning rate rises over
    ``warmup_steps``, stays for the share ``hold`` of the budget and falls along a cosine to ``final_ratio`` of itself.
    """

    name: str
    batch_size: int
    learning_rate: float = 1e-3  # peak
    minutes: float | None = None
    steps: int | None = None
    out: Path = Path()  # folder of the network; unused if not given
    metrics: Path | None = None  # JSON of its figures
    images: Path = WORKSPACE / "images"
    state: Path = WORKSPACE  # folder of the checkpoint, which a later run continues
    seed: int = 0
    final_ratio: float = 0.02
    hold: float = 0.0
    warmup_steps: int = 50
    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.99)
    ema_decay: float = 0.998
    max_grad_norm: float = 1.0
    save_minutes: float = 7.0
    log_steps: int = 100

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise UserError(f"{self.name}: give either minutes or steps as the budget, not both and not neither")

    def learned_with(self) -> dict[str, Any]:
        """Return what decides the weights, as JSON values."""
        return json.loads(json.dumps({name: getattr(self, name) for name in vars(self) if name not in BUDGET}))

    def write_figures(self, history: list[dict[str, float]], parameters: Any, **figures: Any) -> None:
        """Write the figures of a finished training, its losses and how many parameters its parts have."""
        assert self.metrics is not None
        figures |= {"minutes": self.minutes, "parameters": parameters, "history": history}
        write_json(self.metrics, figures)


def path_option(name: str, default: Path) -> Callable[[Command], Command]:
    """Return an option for a path; ``name`` is the flag and, if it differs, the parameter: ``--vae vae_folder``."""
    *parameter, flag = reversed(name.split())
    return click.option(flag, *parameter, type=click.Path(path_type=Path), default=default, show_default=True)


def process_options(threads: int = 1) -> Callable[[Command], Command]:
    """Give a command --threads and -v, a log of its progress, and an end without a traceback on signals."""

    def decorate(function: Command) -> Command:
        @click.option("--threads", default=threads, show_default=True, help="Threads of PyTorch.")
        @verbose_option
        @functools.wraps(function)
        def command(threads: int, **values: Any) -> None:
            logging.getLogger("varireal_pretraining").setLevel(logging.INFO)
            torch.set_num_threads(threads)
            with ending_on_signals():
                function(**values)

        return command

    return decorate


def training_options(defaults: TrainingSettings, threads: int = 1) -> Callable[[Command], Command]:
    """Give a command the options of a process and those of OPTIONS; its function gets the settings first."""
    given = [name for name in OPTIONS if getattr(defaults, name) not in (None, Path())]

    def decorate(function: Command) -> Command:
        @process_options(threads)
        @functools.wraps(function)
        def command(**values: Any) -> None:
            function(replace(defaults, **{name: values.pop(name) for name in given}), **values)

        for name in reversed(given):
            default = getattr(defaults, name)
            kind = click.Path(path_type=Path) if isinstance(default, Path) else type(default)
            option = click.option("--" + name.replace("_", "-"), type=kind, default=default, show_default=True)
            command = option(command)
        return command

    return decorate


@dataclass(frozen=True)
class TrainingStep:
    """What a loss function may depend on: the step's number, the share of the budget spent, and randomness."""

    index: int
    progress: float
    rng: np.random.Generator
    generator: torch.Generator


#: Computes the loss of one step, or a dict whose entry "loss" is minimised and whose other entries are logged.
LossFunction = Callable[[TrainingStep], Tensor | dict[str, Tensor]]


@dataclass
class _State:
    """Where a run stands; ``history`` has a row per ``log_steps`` steps."""

    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def learning_rate(settings: TrainingSettings, step: int, progress: float) -> float:
    """Return the rate for a step: linear warm-up, then constant, then cosine.

    PyTorch's schedulers count steps; here the budget may be minutes, and how many steps they hold is not known.
    """
    falling = max(0.0, progress - settings.hold) / max(1e-9, 1 - settings.hold)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, falling)))
    decay = settings.final_ratio + (1 - settings.final_ratio) * cosine
    return settings.learning_rate * decay * min(1.0, (step + 1) / max(1, settings.warmup_steps))


def count_parameters(module: nn.Module) -> int:
    """Return how many numbers a module learns or has learned."""
    return sum(parameter.numel() for parameter in module.parameters())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a checkpoint says beside its weights: ``settings``, ``step``, ``seconds``, ``history``."""
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["record"])


class TrainingLoop:
    """Trains modules together; see :meth:`run`.

    Args:
        modules: name to module; every parameter with ``requires_grad`` is optimised.
        export: called with the averaged weights in place every ``save_minutes`` and at the end; writes the network.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        modules: Mapping[str, nn.Module],
        loss_fn: LossFunction,
        export: Callable[[], None] | None = None,
    ) -> None:
        self.settings, self.modules, self.loss_fn, self.export = settings, dict(modules), loss_fn, export
        self.checkpoint = settings.state / f"{settings.name}.safetensors"
        self.parameters = [p for m in self.modules.values() for p in m.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, settings.learning_rate, settings.betas, weight_decay=settings.weight_decay, fused=True
        )
        self.ema = EMAModel(self.parameters, settings.ema_decay, foreach=True)  # forgets the start faster than the rest
        self.state = _State()

    @property
    def progress(self) -> float:
        """Return the share of the budget spent, in [0, 1]."""
        if self.settings.steps is not None:
            return min(1.0, self.state.step / max(1, self.settings.steps))
        return min(1.0, self.state.seconds / (60 * max(1e-9, self.settings.minutes or 0.0)))

    def run(self) -> list[dict[str, float]]:
        """Train until the budget is spent, leave the averaged weights in the modules and return the history.

        An unfinished run's checkpoint, or a finished one's with a smaller budget, is continued when its settings
        agree; otherwise the run begins anew. A signal that ends the process lets a checkpoint be saved first.
        """
        self._resume()
        saved = self.state.seconds
        recent: list[dict[str, float]] = []
        with deferring():
            while self.progress < 1.0:
                start = time.monotonic()
                recent.append(self._one_step())
                self.state.seconds += time.monotonic() - start
                if self.state.step % self.settings.log_steps == 0:
                    self._log(recent)
                    recent = []
                if is_interrupted():
                    self.save()
                    check_interruption()
                if self.state.seconds - saved > 60 * self.settings.save_minutes:
                    self._save_and_export()
                    saved = self.state.seconds
        self._save_and_export()
        self.ema.copy_to(self.parameters)
        return self.state.history

    def _one_step(self) -> dict[str, float]:
        index, progress = self.state.step, self.progress
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, index, progress)
        parts = (self.settings.name, self.settings.seed, index)
        noise = torch.Generator().manual_seed(derive_seed(*parts, "torch"))
        result = self.loss_fn(TrainingStep(index, progress, generator(*parts), noise))
        losses = result if isinstance(result, dict) else {"loss": result}
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.max_grad_norm)
        if not torch.isfinite(norm):
            raise UserError(f"{self.settings.name}: the gradient is not finite at step {index}; lower its rate")
        self.optimizer.step()
        self.ema.step(self.parameters)
        self.state.step += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    def _log(self, recent: list[dict[str, float]]) -> None:
        state, settings = self.state, self.settings
        row = {name: sum(entry[name] for entry in recent) / len(recent) for name in recent[0]}
        rate, minutes = state.step * settings.batch_size / max(1e-9, state.seconds), state.seconds / 60
        state.history.append({"step": state.step, "minutes": round(minutes, 3), **row})
        figures = " ".join(f"{name} {value:.4f}" for name, value in row.items())
        log.info("%s step %d %.1f min %s | %.1f samples/s", settings.name, state.step, minutes, figures, rate)

    def _save_and_export(self) -> None:
        self.save()
        if self.export is None:
            return
        self.ema.store(self.parameters)
        self.ema.copy_to(self.parameters)
        try:
            self.export()
        finally:
            self.ema.restore(self.parameters)
        log.info("%s: exported at step %d", self.settings.name, self.state.step)

    def save(self) -> None:
        """Write the checkpoint (weights, average, optimiser, history) in place of the last one."""
        tensors = {f"ema/{i}": value for i, value in enumerate(self.ema.shadow_params)}
        for name, module in self.modules.items():
            tensors |= {f"module/{name}/{key}": value for key, value in module.state_dict().items()}
        for i, parameter in enumerate(self.parameters):
            tensors |= {f"adam/{i}/{key}": value for key, value in self.optimizer.state.get(parameter, {}).items()}
        record = {"settings": self.settings.learned_with(), **asdict(self.state)}
        copies = {key: value.detach().clone().contiguous() for key, value in tensors.items()}  # none shares memory
        atomic_write_bytes(self.checkpoint, save(copies, {"record": json.dumps(record)}))

    def _resume(self) -> None:
        if not self.checkpoint.is_file():
            return
        record = read_checkpoint(self.checkpoint)
        fresh, self.state = self.state, _State(record["step"], record["seconds"], record["history"])
        if self.progress >= 1.0 or record["settings"] != self.settings.learned_with():
            self.state = fresh
            log.info("%s: the checkpoint is finished or of other settings; beginning anew", self.settings.name)
            return
        tensors = load_file(self.checkpoint)

        def part(prefix: str) -> dict[str, Tensor]:
            return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

        for name, module in self.modules.items():
            module.load_state_dict(part(f"module/{name}/"))
        self.ema.shadow_params = [tensors[f"ema/{i}"] for i in range(len(self.parameters))]
        self.ema.optimization_step = self.state.step
        for i, parameter in enumerate(self.parameters):
            if adam := part(f"adam/{i}/"):
                self.optimizer.state[parameter] = adam
        log.info("%s: continuing at step %d (%.1f min)", self.settings.name, self.state.step, self.state.seconds / 60)
