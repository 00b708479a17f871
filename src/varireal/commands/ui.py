"""`varireal ui`: MLflow's pages, opened where the studies are compared. No stage: it only shows what was logged."""

from __future__ import annotations

import os
import sys
import webbrowser
from typing import TYPE_CHECKING

import click

from varireal import paths
from varireal.cli import stage_options
from varireal.errors import UserError
from varireal.tracking import TrackingError, log_results
from varireal.tracking.log import experiment_name
from varireal.tracking.pages import served, ways_in

if TYPE_CHECKING:
    from varireal.config import Params


@click.command("ui")
@stage_options
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Where the pages answer.")
@click.option(
    "--open/--no-open", "opens", default=None, help="Open a browser.  [default: where there is a desktop to show it]"
)
def command(params: Params, port: int, opens: bool | None) -> None:
    """Show MLflow's pages, with the addresses of the comparison of all studies and of the latest study.

    The first is opened in a browser. A store that holds no study yet gets the one that lies on disk first. The store is
    MLFLOW_TRACKING_URI, else mlflow.db here; a server's own pages are opened. Ctrl-C ends it.
    """
    try:
        uri, ways = ways_in(experiment_name(params))
        if not ways and paths.SUMMARY.is_file() and log_results(params, click.echo):
            uri, ways = ways_in(experiment_name(params))
    except TrackingError as error:
        raise UserError(f"MLflow's store cannot be shown: {error}") from error
    with served(uri, port) as (address, process):
        for way in ways:
            click.echo(f"{way.words}:\n  {address}/{way.link}")
        if not ways:
            click.echo(f"{address} has no study yet: `dvc repro` logs one")
        if _has_desktop() if opens is None else opens:
            webbrowser.open(f"{address}/{ways[0].link}" if ways else address)
        if process is not None:
            process.wait()


def _has_desktop() -> bool:
    """Tell whether a browser would have a window: one in the terminal would take that from the server."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(each) for each in ("DISPLAY", "WAYLAND_DISPLAY"))
