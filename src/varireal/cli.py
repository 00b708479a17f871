"""The command `varireal`: lazily loaded commands, what they have in common, and errors that end in one line."""

from __future__ import annotations

import errno
import functools
import importlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from varireal import __version__, paths
from varireal.compute.interruption import ending_on_signals
from varireal.compute.own_code import run_own_code
from varireal.compute.starter import ending_without_dvc
from varireal.errors import UserError

# name -> (module, help line); the module's `command` is imported only when it is called or asked for its own help
STAGES = {
    "prepare": ("varireal.stages.prepare", "Write photos, masks, classes, splits and the manifest."),
    "prompt": ("varireal.stages.prompt", "Write the validated attributes of each class and feasibility."),
    "segment": ("varireal.stages.segment", "Find the object in every photo."),
    "edit": ("varireal.stages.edit", "Edit the training photos of one attribute and feasibility."),
    "measure": ("varireal.stages.measure", "Measure the edits against photos and prompts."),
    "mix": ("varireal.stages.mix", "Choose the synthetic training sets of one attribute."),
    "train": ("varireal.stages.train", "Fine-tune CLIP with LoRA for one cell, or on real photos only."),
    "evaluate": ("varireal.stages.evaluate", "Open the test split: predict with every adapter of the grid."),
    "report": ("varireal.stages.report", "Print the table, write the page with pictures, log the runs."),
}
TOOLS = {  # no stages of dvc.yaml
    "init": ("varireal.commands.init", "Settings for photos of your own, and what they lack."),
    "doctor": ("varireal.commands.doctor", "What a run needs and means, before anything expensive."),
    "preview": ("varireal.commands.preview", "A few photos through every cell, on one page, before the bill."),
    "predict": ("varireal.commands.predict", "Name the classes of any photo by a trained adapter."),
    "export": ("varireal.commands.export", "A trained model or the edits, in formats of other tools."),
    "track": ("varireal.commands.track", "Log the results on disk to MLflow, where `report` could not."),
    "ui": ("varireal.commands.ui", "MLflow's pages, opened where the studies are compared."),
    "clean-work": ("varireal.commands.clean_work", "What .work holds that no output needs any more; free it."),
    "compare": ("varireal.commands.compare", "Two experiments side by side, with paired statistics."),
    "across": ("varireal.commands.across", "The question side by side for all classifiers and editors."),
    "verify": ("varireal.commands.verify", "Whether the results on disk reproduce those of a commit."),
    "sweep": ("varireal.commands.sweep", "Accuracy against the share of infeasible images: run, collect, draw."),
    "settle": ("varireal.commands.settle", "Add seeds, look by look, until every comparison is decided."),
    "rate": ("varireal.commands.rate", "Rate edits blind on a local page: could they exist?"),
    "ratings": ("varireal.commands.ratings", "How ratings agree with what was asked for, and with each other."),
}
PARTS = {  # not for use by hand
    "calibrate-part": ("varireal.commands.calibrate", "One part of `doctor --calibrate`."),
    "try-classifier": ("varireal.commands.try_classifier", "The classifier's answer to a blank input, before `edit`."),
}
COMMANDS = STAGES | TOOLS
FAILING_DISK = {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ESTALE}  # wherever it shows


class LazyGroup(click.Group):
    """A group that knows its commands' names and help lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module, _ = (COMMANDS | PARTS).get(cmd_name, (None, ""))
        return None if module is None else importlib.import_module(module).command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in (("Stages, in the order of the pipeline", STAGES), ("Around the pipeline", TOOLS)):
            with formatter.section(title):
                formatter.write_dl([(name, line) for name, (_, line) in commands.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="varireal")
def main() -> None:
    """Does it matter whether synthetic training images could exist?

    The stages are those of dvc.yaml and read params.yaml; `dvc repro` runs them all.
    """


def run_command(command: click.Command) -> None:
    """Run a click command as a program: a UserError or a disk that fails ends in one line on stderr and exit code 1."""
    try:
        run_own_code()
        command(standalone_mode=True)
    except UserError as error:
        click.echo(f"Error: {' '.join(str(error).split())}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno not in FAILING_DISK:
            raise
        click.echo(
            f"Error: {error}: look at the disk, then run the same command again; finished work is kept", err=True
        )
        sys.exit(1)


def program() -> None:
    """Entry point of the console script."""
    run_command(main)


def stage_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add --params and -v to a stage; the function gets the validated ``params`` as its first argument."""

    @click.option(
        "--params",
        "params_path",
        type=click.Path(path_type=Path, dir_okay=False),
        default=paths.PARAMS,
        show_default=True,
        help="The settings; written by hand or by `dvc exp run` from conf/.",
    )
    @verbose_option
    @functools.wraps(function)
    def wrapper(params_path: Path, **options: Any) -> None:
        from varireal.compute.whole_run import within_run
        from varireal.config import load_params  # pydantic takes longer than all of `varireal --help`

        with ending_on_signals(), ending_without_dvc():
            params = load_params(params_path)
            with within_run(params):
                function(params, **options)

    return wrapper


def verbose_option(function: Callable[..., None]) -> Callable[..., None]:
    """Add -v to a command and set up logging before it runs."""

    @click.option("-v", "--verbose", count=True, help="Show what happens; twice for details.")
    @functools.wraps(function)
    def wrapper(verbose: int, **options: Any) -> None:
        _set_up_logging(verbose)
        function(**options)

    return wrapper


def cell_option(
    name: str, values: tuple[str, ...], help_line: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a required option that names the cell of the grid a stage works on."""
    return click.option(f"--{name}", type=click.Choice(values), required=True, help=help_line)


class _ConditionName(click.ParamType):
    """Is the name of a condition or of a control."""

    name = "condition"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        from varireal.base.manifest import CONDITIONS

        return f"[{'|'.join(CONDITIONS)}|CONTROL]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from varireal.base.manifest import CONDITIONS
        from varireal.config.controls import ALLOWED, is_control  # with all settings, which take long to import

        if value not in CONDITIONS and not is_control(value):
            self.fail(f"{value!r} is none of {', '.join(CONDITIONS)}, and no control: {ALLOWED}", param, ctx)
        return value


def condition_option(help_line: str, required: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option that names the condition, or the control, whose training set a stage works on."""
    return click.option("--condition", type=_ConditionName(), required=required, help=help_line)


def _set_up_logging(verbose: int) -> None:
    levels = [logging.WARNING, logging.INFO, logging.DEBUG]
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("varireal").setLevel(levels[min(verbose, 2)])
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
