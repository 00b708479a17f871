"""The command `varireal`: a group of lazily loaded stage commands; a user's error becomes one line and exit code 1."""

from __future__ import annotations

import errno
import importlib
import sys

import click

from varireal import __version__
from varireal.errors import UserError

# name -> (module, help line); the module's `command` is imported only when it is called or asked for its own help
STAGES = {
    "prepare": ("varireal.stages.prepare", "Write photos, masks, classes, splits and the manifest."),
    "prompt": ("varireal.stages.prompt", "Write the validated attributes of each class and feasibility."),
    "segment": ("varireal.stages.segment", "Find the object in every photo."),
    "edit": ("varireal.stages.edit", "Edit the training photos of one attribute and feasibility."),
    "measure": ("varireal.stages.measure", "Measure the edits against photos and prompts."),
    "mix": ("varireal.stages.mix", "Choose the synthetic training set of one attribute and condition."),
    "train": ("varireal.stages.train", "Fine-tune CLIP with LoRA for one cell, or on real photos only."),
    "evaluate": ("varireal.stages.evaluate", "Open the test split: predict with every adapter of the grid."),
    "report": ("varireal.stages.report", "Print the table, write the page with pictures, log the runs."),
}
TOOLS = {  # no stages of dvc.yaml
    "doctor": ("varireal.stages.doctor", "What a run needs and means, before anything expensive."),
    "predict": ("varireal.stages.predict", "Name the classes of any photo by a trained adapter."),
    "export": ("varireal.stages.export", "A trained model or the edits, in formats of other tools."),
    "track": ("varireal.stages.track", "Log the results on disk to MLflow, where `report` could not."),
    "clean-work": ("varireal.stages.clean_work", "What .work holds that no output needs any more; free it."),
    "compare": ("varireal.stages.compare", "Two experiments side by side, with paired statistics."),
    "sweep": ("varireal.stages.sweep", "Accuracy against the share of infeasible images: run, collect, draw."),
    "rate": ("varireal.stages.rate", "Rate edits blind on a local page: could they exist?"),
    "ratings": ("varireal.stages.ratings", "How ratings agree with what was asked for, and with each other."),
}
COMMANDS = STAGES | TOOLS
FAILING_DISK = {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ESTALE}  # wherever it shows


class LazyGroup(click.Group):
    """A group that knows its commands' names and help lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(COMMANDS[cmd_name][0]).command

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


if __name__ == "__main__":
    program()
