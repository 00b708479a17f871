from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from varireal.cli import COMMANDS, main

HEAVY = {"torch", "torchvision", "open_clip", "transformers", "diffusers", "peft", "mlflow", "pandas", "matplotlib",
         "sklearn", "scipy", "cv2", "pyarrow"}  # fmt: skip
ARRAYS = {"scipy", "cv2", "pyarrow"}  # tenths of a second: what a command works with is imported at its top


def python(*arguments: str, cwd=None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_is_there_for_every_command_and_every_option(arguments):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0 and result.output.startswith("Usage: ")
    command = main if len(arguments) == 1 else main.get_command(click.Context(main), arguments[0])
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in ("help", "version"):
            assert parameter.help, f"{arguments[0]} {parameter.name} has no help"


def test_the_groups_help_lists_every_stage_in_the_order_of_the_pipeline():
    output = CliRunner().invoke(main, ["--help"]).output
    places = [output.index(f"  {name}  ") for name in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize(("names", "slow"), [([""], HEAVY), ([*COMMANDS], HEAVY - ARRAYS)], ids=["group", "commands"])
def test_help_imports_no_slow_library(names, slow):
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom varireal.cli import main\n"
        f"for name in {names!r}:\n"
        "    assert CliRunner().invoke(main, [*name.split(), '--help']).exit_code == 0\n"
        f"print([name for name in {sorted(slow)!r} if name in sys.modules])"
    )
    done = python("-c", code)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_users_error_is_one_line_on_standard_error_and_exit_code_1(tmp_path):
    done = python("-m", "varireal", "mix", "--attribute", "color", cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.splitlines() == [
        "Error: params.yaml does not exist; run from the repository's root or give --params"
    ]


def test_an_unknown_command_is_a_usage_error():
    result = CliRunner().invoke(main, ["bake"])
    assert result.exit_code == 2 and "No such command 'bake'" in result.output
