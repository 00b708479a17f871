"""The training loop: schedule, EMA, resume."""

from __future__ import annotations

import signal
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import nn

from varireal.compute.interruption import Interrupted, ending_on_signals
from varireal.errors import UserError
from varireal_pretraining.loop import (
    TrainingLoop,
    TrainingSettings,
    TrainingStep,
    learning_rate,
    read_checkpoint,
    training_options,
)


def make_loop(folder: Path, *, stop_at: int | None = None, **changes: float) -> tuple[nn.Module, TrainingLoop]:
    """A regression onto the sum of four inputs, drawn from the step's generators; it may be stopped on the way."""
    module = nn.Linear(4, 1)
    nn.init.zeros_(module.weight)
    nn.init.zeros_(module.bias)
    options = {"steps": 30, "learning_rate": 0.05, "warmup_steps": 3, "log_steps": 10, **changes}
    settings = TrainingSettings("regression", 8, seed=7, state=folder, **options)

    def loss(step: TrainingStep) -> torch.Tensor:
        if step.index == stop_at:
            signal.raise_signal(signal.SIGTERM)
        x = torch.randn(8, 4, generator=step.generator) * float(step.rng.uniform(0.5, 1.5))
        return ((module(x) - x.sum(1, keepdim=True)) ** 2).mean()

    loop = TrainingLoop(settings, {"linear": module}, loss)
    return module, loop


def test_training_learns_and_reports(tmp_path: Path) -> None:
    module, loop = make_loop(tmp_path, steps=200, ema_decay=0.9)
    history = loop.run()
    assert [row["step"] for row in history] == list(range(10, 201, 10))
    assert history[-1]["loss"] < 0.01 * history[0]["loss"]
    assert torch.allclose(module.weight, torch.ones(1, 4), atol=0.05)


def test_resumed_run_equals_uninterrupted_run(tmp_path: Path) -> None:
    whole, loop = make_loop(tmp_path / "whole")
    loop.run()
    _, first_half = make_loop(tmp_path / "halves", stop_at=13)
    with pytest.raises(Interrupted), ending_on_signals():
        first_half.run()
    assert read_checkpoint(tmp_path / "halves/regression.safetensors")["step"] == 14
    resumed, second_half = make_loop(tmp_path / "halves")
    with ending_on_signals():  # a new process has no signal waiting
        second_half.run()
    assert torch.equal(resumed.weight, whole.weight)
    assert torch.equal(resumed.bias, whole.bias)


def test_longer_budget_continues_and_other_settings_begin_anew(tmp_path: Path) -> None:
    make_loop(tmp_path)[1].run()
    _, longer = make_loop(tmp_path, steps=40)
    longer.run()
    assert longer.state.step == 40
    _, other = make_loop(tmp_path, steps=50, learning_rate=0.01)
    other._resume()
    assert other.state.step == 0


def test_modules_end_with_the_averaged_weights(tmp_path: Path) -> None:
    module, loop = make_loop(tmp_path, steps=5)
    seen: list[np.ndarray] = []
    loop.export = lambda: seen.append(module.weight.detach().numpy().copy())
    loop.run()
    assert np.array_equal(seen[-1], module.weight.detach().numpy())
    trained = load_file(tmp_path / "regression.safetensors")["module/linear/weight"].numpy()
    assert np.all(np.abs(seen[-1]) < np.abs(trained))  # the average of growing weights lags behind the last ones


def test_learning_rate_by_hand() -> None:
    settings = TrainingSettings("x", 1, steps=100, learning_rate=1.0, warmup_steps=4, hold=0.5, final_ratio=0.1)
    assert learning_rate(settings, 0, 0.0) == pytest.approx(0.25)
    assert learning_rate(settings, 50, 0.5) == pytest.approx(1.0)
    assert learning_rate(settings, 75, 0.75) == pytest.approx(0.1 + 0.9 * 0.5)
    assert learning_rate(settings, 99, 1.0) == pytest.approx(0.1)


@pytest.mark.parametrize("budget", [{}, {"minutes": 1.0, "steps": 3}])
def test_budget_must_be_one_of_two(budget: dict[str, float]) -> None:
    with pytest.raises(UserError, match="minutes or steps"):
        TrainingSettings("x", 1, **budget)


def test_infinite_gradient_is_an_error(tmp_path: Path) -> None:
    module, loop = make_loop(tmp_path)
    loop.loss_fn = lambda step: module(torch.full((1, 4), float("inf"))).sum()
    with pytest.raises(UserError, match="not finite at step 0"):
        loop.run()


DEFAULTS = TrainingSettings(
    "net", 8, 2e-3, minutes=3.0, out=Path("net"), metrics=Path("net.json"), hold=0.3, weight_decay=0.5
)


def run(*arguments: str) -> tuple[TrainingSettings, Path]:
    seen = []

    @click.command()
    @training_options(DEFAULTS)
    @click.option("--latents", type=click.Path(path_type=Path), default=Path("latents"))
    def command(settings: TrainingSettings, latents: Path) -> None:
        seen.append((settings, latents))

    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return seen[0]


def test_without_arguments_the_defaults_hold() -> None:
    assert run() == (DEFAULTS, Path("latents"))


def test_what_has_an_option_can_be_given_and_the_rest_stays() -> None:
    settings, latents = run(
        "--out", "a", "--metrics", "b", "--minutes", "0.5", "--batch-size", "2", "--learning-rate", "0.1",
        "--images", "c", "--state", "d", "--threads", "1", "--seed", "7", "--latents", "e",
    )  # fmt: skip
    assert settings == TrainingSettings(
        "net", 2, 0.1, 0.5, None, Path("a"), Path("b"), Path("c"), Path("d"), 7, hold=0.3, weight_decay=0.5
    )
    assert latents == Path("e")
