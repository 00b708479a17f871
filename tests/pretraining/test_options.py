from __future__ import annotations

from pathlib import Path

import click
from click.testing import CliRunner

from varireal_pretraining.loop import LoopSettings
from varireal_pretraining.options import TrainingOptions, training_options

DEFAULTS = TrainingOptions(
    out=Path("net"), metrics=Path("net.json"), minutes=3.0, batch_size=8, learning_rate=2e-3, threads=2
)


def run(*arguments: str) -> tuple[TrainingOptions, Path]:
    seen = []

    @click.command()
    @training_options(DEFAULTS)
    @click.option("--latents", type=click.Path(path_type=Path), default=Path("latents"))
    def main(options: TrainingOptions, latents: Path) -> None:
        seen.append((options, latents))

    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return seen[0]


def test_without_arguments_the_defaults_hold() -> None:
    assert run() == (DEFAULTS, Path("latents"))


def test_every_field_has_an_option() -> None:
    options, latents = run(
        "--out", "a", "--metrics", "b", "--minutes", "0.5", "--batch-size", "2", "--learning-rate", "0.1",
        "--images", "c", "--state", "d", "--threads", "1", "--seed", "7", "--latents", "e",
    )  # fmt: skip
    assert options == TrainingOptions(Path("a"), Path("b"), 0.5, 2, 0.1, Path("c"), Path("d"), 1, 7)
    assert latents == Path("e")


def test_the_loops_settings_are_the_options_and_what_has_none() -> None:
    settings = DEFAULTS.loop_settings("net", hold=0.3)
    assert settings == LoopSettings("net", 0, 8, minutes=3.0, learning_rate=2e-3, hold=0.3)
