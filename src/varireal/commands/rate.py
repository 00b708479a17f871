"""`varireal rate`: a page on this machine for rating edits blind. Not part of the pipeline."""

from __future__ import annotations

import click

from varireal.base.manifest import ATTRIBUTES
from varireal.cli import stage_options
from varireal.compute.interruption import Interrupted
from varireal.config import Params
from varireal.rating.server import RatingServer, open_session


@click.command()
@click.option("--rater", required=True, help="Who answers: a-z, 0-9, - and _; one file of answers each.")
@click.option("--count", type=click.IntRange(min=1), default=60, show_default=True, help="How many edits, at most.")
@click.option(
    "--attribute",
    "attributes",
    type=click.Choice(ATTRIBUTES),
    multiple=True,
    help="Only edits of this attribute; may be given again.  [default: those of the grid]",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Of 127.0.0.1, for a tunnel to another machine.  [default: any free one]",
)
@click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser.")
@stage_options
def command(params: Params, rater: str, count: int, attributes: tuple[str, ...], port: int, open_browser: bool) -> None:
    """Rate edits without knowing what was asked for: could they exist (1), could they not (2), are they broken (3)?

    Serves a page to this machine only, until Ctrl+C; `varireal ratings` says how far raters agree. All raters get the
    same edits, in equal parts feasible and infeasible, each in an order of their own. An answer is in
    data/ratings/RATER.jsonl at once; the next start goes on with what is open. Not a stage of the pipeline.
    """
    with open_session(params, rater, count, attributes) as session, RatingServer(session, port) as server:
        click.echo(f"{session.progress}. Rate at {server.url} and end with Ctrl+C.")
        if open_browser:
            click.launch(server.url)
        try:
            server.serve_forever()
        except Interrupted as ending:
            click.echo(f"\n{session.progress}; `varireal ratings` says how far they agree.")
            if not ending.by_user:
                raise
