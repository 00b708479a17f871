"""The training loop that all demo models share: learning rate, EMA, clipping, log, checkpoint, resume.

A model brings its modules and a function that computes the loss of one step. All randomness of a step comes
from the :class:`Step` it is handed, whose generators are seeded by (name, seed, step number): a run that was
interrupted and resumed draws the same numbers as one that was not.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from varireal.base.seeding import derive_seed, generator
from varireal.errors import UserError

log = logging.getLogger(__name__)

#: Options that may differ between a run and its continuation: how long, not what is learned.
BUDGET = ("minutes", "steps", "save_minutes", "log_steps")


@dataclass(frozen=True)
class LoopSettings:
    """How one model is trained.

    Exactly one of ``minutes`` (training time, without exports) and ``steps`` is the budget. The learning rate
    rises over ``warmup_steps``, stays for the share ``hold`` of the budget and falls along a cosine to
    ``final_ratio`` of itself. ``ema_decay`` is approached from below, so that early averages forget the start.
    """

    name: str
    seed: int
    batch_size: int
    minutes: float | None = None
    steps: int | None = None
    learning_rate: float = 1e-3
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


@dataclass(frozen=True)
class Step:
    """What a loss function may depend on: the step's number, the share of the budget spent, and randomness."""

    index: int
    progress: float
    rng: np.random.Generator
    generator: torch.Generator


@dataclass
class _State:
    """Where a run stands; ``history`` has a row per ``log_steps`` steps."""

    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


#: Computes the loss of one step, or a dict whose entry "loss" is minimised and whose other entries are logged.
LossFunction = Callable[[Step], Tensor | dict[str, Tensor]]


def prepare_process(threads: int) -> None:
    """Set PyTorch's thread count and a plain log on stderr: the first line of every pretraining command."""
    torch.set_num_threads(threads)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


def learning_rate(settings: LoopSettings, step: int, progress: float) -> float:
    """Return the rate for a step: linear warm-up, then constant, then cosine (arguments: see `LoopSettings`)."""
    falling = max(0.0, progress - settings.hold) / max(1e-9, 1 - settings.hold)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, falling)))
    decay = settings.final_ratio + (1 - settings.final_ratio) * cosine
    return settings.learning_rate * decay * min(1.0, (step + 1) / max(1, settings.warmup_steps))


class TrainingLoop:
    """Trains modules together; see :meth:`run`.

    Args:
        settings: schedule and budget.
        modules: name to module; every parameter with ``requires_grad`` is optimised.
        loss_fn: computes the loss of one step.
        state_dir: folder of the checkpoint, ``state_dir/<name>``; made if missing.
        export: called with the EMA weights in place every ``save_minutes`` and at the end; writes the model.
    """

    def __init__(
        self,
        settings: LoopSettings,
        modules: Mapping[str, nn.Module],
        loss_fn: LossFunction,
        state_dir: Path,
        export: Callable[[], None] | None = None,
    ) -> None:
        self.settings, self.modules, self.loss_fn, self.export = settings, dict(modules), loss_fn, export
        self.folder = state_dir / settings.name
        self.parameters = [p for m in self.modules.values() for p in m.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, settings.learning_rate, settings.betas, weight_decay=settings.weight_decay, fused=True
        )
        self.ema = [p.detach().clone() for p in self.parameters]
        self.state = _State()
        self._stop = False

    @property
    def progress(self) -> float:
        """Share of the budget spent, in [0, 1]."""
        if self.settings.steps is not None:
            return min(1.0, self.state.step / max(1, self.settings.steps))
        return min(1.0, self.state.seconds / (60 * max(1e-9, self.settings.minutes or 0.0)))

    def run(self) -> list[dict[str, float]]:
        """Train until the budget is spent and leave the EMA weights in the modules; return the history.

        An unfinished run's checkpoint, or a finished one's with a smaller budget, is continued when its
        settings agree; otherwise the run begins anew. SIGTERM and SIGINT save a checkpoint and leave.

        Raises:
            SystemExit: when asked to stop by a signal, after the checkpoint is written.
        """
        self._resume()
        with self._signals():
            saved, mark = self.state.seconds, time.monotonic()
            recent: list[dict[str, float]] = []
            while self.progress < 1.0 and not self._stop:
                recent.append(self._one_step())
                now = time.monotonic()
                self.state.seconds, mark = self.state.seconds + now - mark, now
                if self.state.step % self.settings.log_steps == 0:
                    self._log(recent)
                    recent = []
                if self.state.seconds - saved > 60 * self.settings.save_minutes:
                    self._save_and_export()
                    saved, mark = self.state.seconds, time.monotonic()
        if self._stop:
            self.save()
            raise SystemExit(f"{self.settings.name}: stopped at step {self.state.step}; run again to continue")
        self._save_and_export()
        self._load_into_modules(self.ema)
        return self.state.history

    def _one_step(self) -> dict[str, float]:
        index, progress = self.state.step, self.progress
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, index, progress)
        parts = (self.settings.name, self.settings.seed, index)
        noise = torch.Generator().manual_seed(derive_seed(*parts, "torch"))
        result = self.loss_fn(Step(index, progress, generator(*parts), noise))
        losses = result if isinstance(result, dict) else {"loss": result}
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.max_grad_norm)
        if not torch.isfinite(norm):
            raise UserError(f"{self.settings.name}: the gradient is not finite at step {index}; lower its rate")
        self.optimizer.step()
        decay = min(self.settings.ema_decay, (index + 1) / (index + 12))
        with torch.no_grad():
            torch._foreach_lerp_(self.ema, self.parameters, 1 - decay)
        self.state.step += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    def _log(self, recent: list[dict[str, float]]) -> None:
        state, settings = self.state, self.settings
        row = {name: sum(entry[name] for entry in recent) / len(recent) for name in recent[0]}
        rate = state.step * settings.batch_size / max(1e-9, state.seconds)
        state.history.append({"step": state.step, "minutes": round(state.seconds / 60, 3), **row})
        figures = " ".join(f"{name} {value:.4f}" for name, value in row.items())
        minutes = state.seconds / 60
        log.info("%s step %d %.1f min %s | %.1f samples/s", settings.name, state.step, minutes, figures, rate)

    def _save_and_export(self) -> None:
        self.save()
        if self.export is not None:
            with self.averaged():
                self.export()
            log.info("%s: exported at step %d", self.settings.name, self.state.step)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the EMA weights into the modules for a while."""
        current = [p.detach().clone() for p in self.parameters]
        self._load_into_modules(self.ema)
        try:
            yield
        finally:
            self._load_into_modules(current)

    def _load_into_modules(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.parameters, values, strict=True):
                parameter.copy_(value)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(*_: object) -> None:
            self._stop = True

        previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def save(self) -> None:
        """Write the checkpoint (weights, EMA, optimiser, history) in place of the last one, at once or not at all."""
        tensors = {f"ema/{i}": value for i, value in enumerate(self.ema)}
        for name, module in self.modules.items():
            tensors |= {f"module/{name}/{key}": v.detach().clone() for key, v in module.state_dict().items()}
        for i, parameter in enumerate(self.parameters):
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"adam/{i}/{key}"] = value.detach().clone()
        new = self.folder.with_name(f".{self.folder.name}.{os.getpid()}")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        save_file({key: value.contiguous() for key, value in tensors.items()}, new / "state.safetensors")
        record = {"settings": asdict(self.settings), "progress": self.progress, **asdict(self.state)}
        (new / "state.json").write_text(json.dumps(record), encoding="utf-8")
        replace_folder(new, self.folder)

    def _resume(self) -> None:
        path = self.folder / "state.json"
        if not path.is_file():
            return
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        same = {k: v for k, v in record["settings"].items() if k not in BUDGET}
        mine = {k: v for k, v in json.loads(json.dumps(asdict(self.settings))).items() if k not in BUDGET}
        done = _State(record["step"], record["seconds"], record["history"])
        fresh, self.state = self.state, done
        if same != mine or self.progress >= 1.0:
            self.state = fresh
            log.info("%s: the checkpoint is finished or of other settings; beginning anew", self.settings.name)
            return
        tensors = load_file(self.folder / "state.safetensors")
        for name, module in self.modules.items():
            prefix = f"module/{name}/"
            module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        self.ema = [tensors[f"ema/{i}"] for i in range(len(self.parameters))]
        for i, parameter in enumerate(self.parameters):
            prefix = f"adam/{i}/"
            adam = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if adam:
                self.optimizer.state[parameter] = adam
        log.info("%s: continuing at step %d (%.1f min)", self.settings.name, done.step, done.seconds / 60)


def replace_folder(new: Path, target: Path) -> None:
    """Put the finished folder ``new`` in the place of ``target``, which may exist; never a half-written mixture."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
