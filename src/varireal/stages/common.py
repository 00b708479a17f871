"""What every stage command has: --params and -v, logging, quiet libraries."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from varireal import layout
from varireal.config import Params, load_params
from varireal.interruption import ending_on_signals


def stage_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add --params and -v to a stage; the function gets the validated ``params`` as its first argument."""

    @click.option(
        "--params",
        "params_path",
        type=click.Path(path_type=Path, dir_okay=False),
        default=layout.PARAMS,
        show_default=True,
        help="The settings; written by hand or by `dvc exp run` from conf/.",
    )
    @verbose_option
    @functools.wraps(function)
    def wrapper(params_path: Path, **options: Any) -> None:
        with ending_on_signals():
            function(load_params(params_path), **options)

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


def apply_compute(params: Params) -> None:
    """Set torch's thread count as asked; call it before the first use of a network."""
    if params.compute.num_threads is not None:
        import torch

        torch.set_num_threads(params.compute.num_threads)


def _set_up_logging(verbose: int) -> None:
    levels = [logging.WARNING, logging.INFO, logging.DEBUG]
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("varireal").setLevel(levels[min(verbose, 2)])
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
